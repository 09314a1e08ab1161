"""The HTTP API: routes, read-only queries over both databases, and what every request passes."""

from .application import create_app, serve
from .options import ApiDeps, ApiOptions, MountedApp

__all__ = ["ApiDeps", "ApiOptions", "MountedApp", "create_app", "serve"]
