"""Make what reads a run's source, from where its scenario is stored."""

from msgspec.structs import replace

from ...domain.sampling import Sampling
from ...domain.source import Source
from ...domain.spec import RestartPolicy
from ...predictions.checkpoint import Checkpoint
from ...video.decoder.parent import ProcessReader
from ...video.reader import ThreadReader
from ...video.reading import FrameReader, ReadRequest, StartingPoint
from ..context import RunContext


def make_reader(
    source: Source, sampling: Sampling, restart: RestartPolicy, claimed: Checkpoint, context: RunContext
) -> FrameReader:
    """Return a reader that begins where the claimed scenario is stored."""
    if claimed.is_live:  # only an earlier attempt could tell of an http source
        source = replace(source, live=True)
    request = ReadRequest(
        source,
        str(context.media_root.absolute()),
        str(context.networks),
        sampling,
        is_persistent=claimed.next_frame > 0 or restart.policy == "always",
        start=StartingPoint(
            claimed.next_frame,
            claimed.candidates,
            claimed.replay_frame,
            claimed.replay_sampled,
            claimed.unix_offset,
            has_pictures=claimed.counters.sampled > claimed.counters.failed
            or claimed.last_detector_error is not None,
            patience=claimed.source_patience,
        ),
    )
    return ProcessReader(request) if context.decoding == "process" else ThreadReader(request)
