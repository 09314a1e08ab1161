"""The thread that decodes: it turns a source into a line of sampled frames."""

from collections.abc import Callable
from pathlib import Path
from threading import Event
from typing import Protocol

import structlog
from msgspec import Struct

from ..concurrency.threads import start_thread
from ..domain.media import Media
from ..domain.networks import Networks
from ..domain.redaction import redact
from ..domain.source import Source
from ..domain.spec import CandidateFrames, Sampling
from ..domain.states import SourceState
from ..predictions.checkpoint import Checkpoint
from ..runner.pipeline import Item, Mark, Pipeline
from .open import Camera, Recording, VideoError, open_video
from .open import Sampled as SampledFrame
from .open import SourceState as CameraState

log = structlog.get_logger(__name__)


class Opened(Struct, frozen=True):
    """What opening the source told, and which of its frames sampling chooses from."""

    media: Media
    eligible: CandidateFrames


class Line(Protocol):
    """Where a Reader puts what it read: a Pipeline, or the way to one. See there."""

    live: bool
    closing: bool

    def put(self, entry: Item | Mark) -> bool: ...

    def end(self) -> None: ...


class Reader:
    """Reads one source into one pipeline, in a thread of its own.

    What it has found out stands in its attributes before the frames that it is about are in the pipeline.
    `wake` is called, in that thread, when `opened` or `state` has changed.
    """

    def __init__(
        self,
        source: Source,
        media_root: Path,
        networks: Networks,
        sampling: Sampling,
        *,
        persistent: bool,
        wake: Callable[[], None],
    ) -> None:
        self._source = source
        self._media_root = media_root
        self._networks = networks
        self._sampling = sampling
        self._persistent = persistent
        self._wake = wake
        self._stop = Event()
        self.opened: Opened | None = None
        """There once the first frame was decoded."""
        self.state: SourceState = "opening"
        """What became of the source, short of its end."""
        self.fault: VideoError | None = None
        """Why reading failed, if it did; final once the pipeline has ended."""
        self.completed = False
        """Whether the recording was read to its end; final once the pipeline has ended."""

    def start(self, checkpoint: Checkpoint, pipeline: Pipeline) -> None:
        """Begin to read where the checkpoint says."""
        start_thread("decode", self.read, checkpoint, pipeline)

    def stop(self) -> None:
        """End reading soon; a read under way is not waited for."""
        self._stop.set()

    def read(self, checkpoint: Checkpoint, pipeline: Line) -> None:
        """Read in this thread, to the end."""
        try:
            with open_video(
                self._source, self._media_root, self._networks, stop=self._stop, persistent=self._persistent
            ) as video:
                if isinstance(video, Recording):
                    self._read_recording(video, checkpoint, pipeline)
                else:
                    self._watch(video, checkpoint, pipeline)
        except VideoError as fault:
            self.fault = fault.without_traceback()
        except Exception as fault:  # a fault of ours or of the decoder costs this run alone
            log.exception("reading failed", source=self._source.redacted)
            self.fault = VideoError(redact(f"reading the source failed: {fault!r}"), retryable=True)
        finally:
            pipeline.end()

    def _read_recording(self, video: Recording, checkpoint: Checkpoint, pipeline: Line) -> None:
        eligible = checkpoint.eligible or video.choose_eligible(self._sampling)
        sampled = checkpoint.replay_sampled
        for entry in video.frames(self._sampling, eligible, checkpoint.replay_frame):
            if self.opened is None:
                self._note("open", Opened(video.media, eligible))
            if (entry.frame + 1 if isinstance(entry, SampledFrame) else entry.end) == video.media.frames:
                pipeline.closing = True
            if isinstance(entry, SampledFrame):
                put = pipeline.put(Item(entry.frame, entry.time, sampled, entry.picture, entry.error))
                sampled += 1
            else:
                put = pipeline.put(Mark(entry.end, entry.time))
            if not put:
                return
        self.completed = True

    def _watch(self, video: Camera, checkpoint: Checkpoint, pipeline: Line) -> None:
        pipeline.live = True
        frame = checkpoint.next_frame
        for received in video.frames(self._sampling):
            if isinstance(received, CameraState):
                log.info("source", state=received.state, error=received.error)
                self._note(received.state, Opened(received.media, "all") if received.media else None)
                continue
            time = checkpoint.unix_offset + received.received
            if received.sampled:
                put = pipeline.put(Item(frame, time, None, received.picture))
            else:
                put = pipeline.put(Mark(frame + 1, time))
            frame += 1
            if not put:
                return

    def _note(self, state: SourceState, opened: Opened | None) -> None:
        self.state = state
        self.opened = self.opened or opened
        self._wake()
