"""videoanalysis: a self-hosted video-analysis service."""

__version__ = "0.2.0.dev0"
