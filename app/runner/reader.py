"""The thread that decodes: it turns a source into a line of sampled frames."""

from collections.abc import Callable
from pathlib import Path
from threading import Event

import structlog
from msgspec import Struct

from app.networks import Networks
from app.runner.pipeline import Item, Mark, Pipeline
from app.runner.store import Eligible
from app.runner.threads import start_thread
from app.runner.video import Camera, Received, Recording, SourceState, VideoError, open_video
from app.runner.video import Sampled as SampledFrame
from app.scenario import Media, Sampling
from app.source import Source

log = structlog.get_logger(__name__)


class Begin(Struct, frozen=True):
    """Where reading starts: the ordinal of the first frame that is wanted, how many sampled frames come
    before it, which frames sampling chooses from (None: to be chosen now), and the time of a live source's
    first second, as `time.monotonic()` and as Unix time."""

    frame: int
    sampled: int
    eligible: Eligible | None
    monotonic: float
    unix: float


class Reader:
    """Reads one source into one pipeline, in a thread of its own. The callbacks run in that thread."""

    def __init__(
        self,
        source: Source,
        media_root: Path,
        networks: Networks,
        sampling: Sampling,
        *,
        persistent: bool,
        on_open: Callable[[Media, Eligible], None],
        on_state: Callable[[SourceState], None],
    ) -> None:
        self._source = source
        self._media_root = media_root
        self._networks = networks
        self._sampling = sampling
        self._persistent = persistent
        self._on_open = on_open
        self._on_state = on_state
        self._stop = Event()
        self.fault: VideoError | None = None
        """Why reading failed, if it did; final once the pipeline has ended."""
        self.completed = False
        """Whether the recording was read to its end; final once the pipeline has ended."""

    def start(self, begin: Begin, pipeline: Pipeline) -> None:
        """Begin to read."""
        start_thread("decode", self._run, begin, pipeline)

    def stop(self) -> None:
        """End reading soon; a read under way is not waited for."""
        self._stop.set()

    def _run(self, begin: Begin, pipeline: Pipeline) -> None:
        try:
            with open_video(
                self._source, self._media_root, self._networks, stop=self._stop, persistent=self._persistent
            ) as video:
                if isinstance(video, Recording):
                    self._read_recording(video, begin, pipeline)
                else:
                    self._watch(video, begin, pipeline)
        except VideoError as fault:
            self.fault = fault
        except Exception as fault:  # a fault of ours or of the decoder costs this run alone
            log.exception("reading failed", source=self._source.redacted)
            self.fault = VideoError(f"reading the source failed: {fault!r}", retryable=True)
        finally:
            pipeline.end()

    def _read_recording(self, video: Recording, begin: Begin, pipeline: Pipeline) -> None:
        eligible = begin.eligible or video.choose_eligible(self._sampling)
        sampled = begin.sampled
        opened = False
        for entry in video.frames(self._sampling, eligible, begin.frame):
            if not opened:
                self._on_open(video.media, eligible)
                opened = True
            if isinstance(entry, SampledFrame):
                put = pipeline.put(Item(entry.frame, entry.time, sampled, entry.picture, entry.error))
                sampled += 1
            else:
                put = pipeline.put(Mark(entry.end, entry.time))
            if not put:
                return
        self.completed = True

    def _watch(self, video: Camera, begin: Begin, pipeline: Pipeline) -> None:
        pipeline.live = True
        frame = begin.frame
        sampled = begin.sampled
        opened = False
        for received in video.frames(self._sampling):
            if isinstance(received, SourceState):
                self._on_state(received)
                if not opened and received.media is not None:
                    self._on_open(received.media, "all")
                    opened = True
                continue
            put = self._put(received, frame, sampled, begin, pipeline)
            frame += 1
            sampled += received.sampled
            if not put:
                return

    @staticmethod
    def _put(received: Received, frame: int, sampled: int, begin: Begin, pipeline: Pipeline) -> bool:
        time = begin.unix + received.received - begin.monotonic
        if received.sampled:
            return pipeline.put(Item(frame, time, sampled, received.picture))
        return pipeline.put(Mark(frame + 1, time))
