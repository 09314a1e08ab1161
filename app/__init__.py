"""videoanalysis: a self-hosted video-analysis service."""

__version__ = "0.1.0"
