"""The HTTP API: routes, read-only queries over both databases, and what every request passes."""

from .application import create_app, serve
from .options import ApiDeps, ApiOptions

__all__ = ["ApiDeps", "ApiOptions", "create_app", "serve"]
