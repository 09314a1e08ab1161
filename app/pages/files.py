"""The files of the pages: modules, styles and vendored modules below `static`, and index.html beside it."""

from hashlib import sha256
from pathlib import Path

from msgspec import Struct

FOLDER = Path(__file__).parent
STATIC = FOLDER / "static"
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:;"
    " media-src 'self' blob:; connect-src 'self'; base-uri 'none'; form-action 'self';"
    " frame-ancestors 'none'; require-trusted-types-for 'script'"
)
"""The Content-Security-Policy: nothing inline, nothing from elsewhere, no text that becomes HTML or code."""

_TYPES = {
    ".css": "text/css",
    ".html": "text/html",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
    ".txt": "text/plain",
}


class PageFile(Struct, frozen=True):
    """A file as it is sent. `entity_tag` has its quotation marks."""

    content: bytes
    media_type: str
    entity_tag: str


def index_file() -> PageFile:
    """Return the one HTML document."""
    return _read(FOLDER / "index.html")


def find_file(path: str) -> PageFile | None:
    """Return the file at a path below `static`, such as `lib/api.js`, or None if there is none.

    It is read each time, so that a changed file is seen without a restart.
    """
    if "\0" in path:
        return None
    try:
        file = (STATIC / path.lstrip("/")).resolve()
        if not file.is_relative_to(STATIC.resolve()) or file.suffix not in _TYPES or not file.is_file():
            return None
        return _read(file)
    except OSError:  # such as a name that is too long
        return None


def _read(file: Path) -> PageFile:
    content = file.read_bytes()
    return PageFile(content, _TYPES[file.suffix], f'"{sha256(content).hexdigest()[:32]}"')
