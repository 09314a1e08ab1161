"""videoanalysis: a self-hosted video-analysis service."""
