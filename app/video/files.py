"""Find a source's file below the media root."""

from pathlib import Path
from stat import S_ISREG

from ..domain.source import Source, SourceError


def find_file(source: Source, media_root: Path) -> Path:
    """Return the file to open, with links resolved.

    Raises:
        SourceError: the file does not exist, is no regular file, or lies outside `media_root`.
    """
    try:
        root = media_root.resolve(strict=True)
    except OSError:
        raise SourceError("the media root does not exist: create it, or set VA_MEDIA_ROOT") from None
    try:
        path = (root / source.address).resolve(strict=True)
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        shorter = source.address.partition("/")[2]
        if source.address.startswith(f"{media_root.name}/") and (root / shorter).is_file():
            advice = f"paths begin below that folder, so write {shorter!r}"
        else:
            advice = "put it there, or set VA_MEDIA_ROOT"
        raise SourceError(f"no file {source.address!r} under the media root: {advice}") from None
    except (OSError, RuntimeError) as error:  # RuntimeError: a loop of links, before Python 3.13
        reason = error.strerror if isinstance(error, OSError) and error.strerror else "a loop of links"
        raise SourceError(f"the file {source.address!r} cannot be opened: {reason.lower()}") from None
    if not path.is_relative_to(root):
        raise SourceError(
            f"{source.address!r} leads outside the media root: copy the file into it, or set VA_MEDIA_ROOT"
        )
    if not S_ISREG(mode):
        raise SourceError(f"{source.address!r} is not a file: name a video file below the media root")
    return path
