"""What a scenario's results depend on besides its spec, pinned when it is first claimed.

A resumed run compares what it finds with what was pinned. Another file or another model ends the scenario as
failed: its results would be a mixture. Other rules, another backend or precision go on, with a warning.
"""

from collections.abc import Iterator

from msgspec import Struct
from msgspec.structs import replace

RULES = 1
"""The version of the rules by which frames are numbered, sampled, detected and rounded."""


class FileIdentity(Struct, frozen=True):
    """Which recording this is. `digest` is of samples of its bytes, `modified` in nanoseconds of Unix time.

    A recording on a web server has what the server tells of it.
    """

    size: int | None = None
    modified: int | None = None
    digest: str | None = None
    etag: str | None = None


class Pins(Struct, frozen=True):
    """What results depend on; a field is None if it does not apply or was not known."""

    file: FileIdentity | None = None
    model: str | None = None  # the model file's SHA-256, or what a server tells of its model
    rules: int = RULES
    backend: str | None = None
    precision: str | None = None
    recorded_at: float | None = None  # Unix time at the beginning of a recording


class PinChange(Struct, frozen=True):
    """From `frame` on, the results depend on something else than before."""

    frame: int
    text: str


class PinnedError(Exception):
    """The file or the model is another one than when the scenario began. The text says what changed."""


def merge(pinned: Pins | None, found: Pins) -> Pins:
    """Return what is pinned from now on: what was pinned, and for what was not, what was found."""
    if pinned is None:
        return found
    file = pinned.file or found.file
    if file and found.file:  # another time is told of once
        file = replace(file, modified=found.file.modified or file.modified)
    return Pins(
        file=file,
        model=pinned.model or found.model,
        rules=found.rules,
        backend=found.backend or pinned.backend,
        precision=found.precision or pinned.precision,
        recorded_at=found.recorded_at if pinned.recorded_at is None else pinned.recorded_at,
    )


def compare(pinned: Pins, found: Pins) -> list[str]:
    """Return in words what differs but does not matter enough to fail.

    Raises PinnedError if the file or the model is another one.
    """
    if pinned.model and found.model and pinned.model != found.model:
        if " " in found.model:  # not a digest
            raise PinnedError(
                "the model on the inference server is another one than when this scenario began:"
                f" {found.model} instead of {pinned.model}; serve that one again, or create a new scenario"
            )
        raise PinnedError(
            "the model file is another one than when this scenario began:"
            " put the first one back, or create a new scenario"
        )
    changes: list[str] = []
    if pinned.file and found.file:
        changes += _compare_files(pinned.file, found.file)
    for name, before, after in (
        ("rules", str(pinned.rules), str(found.rules)),
        ("backend", pinned.backend, found.backend),
        ("precision", pinned.precision, found.precision),
    ):
        if before and after and before != after:
            changes.append(f"{name} changed from {before} to {after}")
    return changes


def _compare_files(pinned: FileIdentity, found: FileIdentity) -> Iterator[str]:
    what = ""
    if None not in (pinned.size, found.size) and pinned.size != found.size:
        what = f"its size changed from {pinned.size:,} to {found.size:,} bytes"
    elif pinned.digest and found.digest and pinned.digest != found.digest:
        what = "its content changed"
    elif pinned.etag and found.etag and pinned.etag != found.etag:
        what = f"its ETag changed from {pinned.etag} to {found.etag}"
    if what:
        raise PinnedError(
            f"the recording is another one than when this scenario began: {what};"
            " put the first one back, or create a new scenario"
        )
    if pinned.modified and found.modified and pinned.modified != found.modified:
        yield "the recording's modification time changed, its size and the samples of its content did not"
