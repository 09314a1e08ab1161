"""A batch: recordings below a folder that are analysed in the same way, each as a scenario."""

from enum import StrEnum

import msgspec
from msgspec import Raw, Struct


class BatchState(StrEnum):
    """The state of a batch."""

    RUNNING = "running"
    STOPPING = "stopping"
    STOPPED = "stopped"
    DONE = "done"
    DELETING = "deleting"


BATCH_STATE_DESCRIPTIONS = {
    BatchState.RUNNING: "Files are looked for and analysed.",
    BatchState.STOPPING: "A stop was requested; scenarios still end.",
    BatchState.STOPPED: "Nothing is looked for or analysed until it is started.",
    BatchState.DONE: "Each file is analysed, or has failed, and no folder is watched.",
    BatchState.DELETING: "Its scenarios are being deleted, and then it is.",
}


class BatchSpec(Struct, frozen=True):
    """A batch as the client specified it, as far as that never changes.

    `scenario` is a specification without a source. `recorded_at` is a pattern of file names as for
    `datetime.strptime`, in local time of `timezone` (IANA).
    """

    sources: str
    scenario: Raw
    recorded_at: str | None = None
    timezone: str | None = None


def encode_batch(spec: BatchSpec) -> Raw:
    """Return the specification of a batch as JSON."""
    return Raw(msgspec.json.encode(spec))


def decode_batch(text: str | bytes | Raw) -> BatchSpec:
    """Return the specification in stored JSON, without the fields that this version does not know."""
    return msgspec.json.decode(text, type=BatchSpec)
