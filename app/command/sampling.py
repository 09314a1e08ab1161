"""The options `--fps` and `--all-frames`: which frames are analysed."""

from math import isfinite
from typing import Any

import rich_click as click


def sampling_of(fps: float | None, *, all_frames: bool = False) -> dict[str, Any] | None:
    """Return the field `sampling` of a request, and None if neither option is given.

    Raises UsageError if both are, or if `fps` is no number of frames.
    """
    if fps is None:
        return {"mode": "all"} if all_frames else None
    if all_frames:
        raise click.UsageError("Give --fps or --all-frames, not both.")
    if not isfinite(fps):
        raise click.UsageError("--fps must be a number of frames, as in --fps 5.")
    return {"mode": "fps", "fps": fps}
