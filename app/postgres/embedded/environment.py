"""The environment of PostgreSQL's programs."""

import os

# PG* variables are meant for clients, but would configure the server; VA_* and others contain secrets.
_KEPT = frozenset(["PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "TMPDIR"])


def server_environment() -> dict[str, str]:
    """Return the few variables that the programs need, and none of the others that this process has."""
    kept = {name: value for name, value in os.environ.items() if name in _KEPT}
    return kept | {"LC_ALL": "C", "TZ": "UTC"}
