"""Read a source in a thread of this process."""

import time
from pathlib import Path
from threading import Event

import structlog
from msgspec.structs import replace

from ..concurrency.threads import start_thread
from ..domain.networks import Networks
from ..domain.redaction import redact
from ..domain.sampling import CandidateFrames
from .camera import Camera, CameraStatus
from .errors import VideoError
from .open import open_video
from .reading import FrameSink, ReadFault, ReadRequest, ReadStatus
from .recording import Recording

log = structlog.get_logger(__name__)


class ThreadReader:
    """A FrameReader that decodes in a thread of its own."""

    def __init__(self, request: ReadRequest) -> None:
        self._request = request
        self._stop = Event()
        self._status = ReadStatus()  # of the reading thread

    def start(self, sink: FrameSink) -> None:
        """Begin to read into `sink`, and return at once."""
        start_thread("decode", self.read, sink)

    def stop(self) -> None:
        """Make reading end soon. Does not wait for a read that is under way."""
        self._stop.set()

    def read(self, sink: FrameSink) -> None:
        """Read in this thread, to the end."""
        request = self._request
        fault: ReadFault | None = None
        is_completed = False
        try:
            with open_video(
                request.source,
                Path(request.media_root),
                Networks(request.networks),
                stop=self._stop,
                is_persistent=request.is_persistent,
                patience=request.start.patience,
            ) as video:
                if isinstance(video, Recording):
                    is_completed = self._read_recording(video, sink)
                else:
                    self._read_camera(video, sink)
        except VideoError as error:
            fault = ReadFault(str(error), error.retryable)
        except Exception as error:  # a bug of ours or of the decoder costs this run alone
            log.exception("reading failed", source=request.source.redacted)
            fault = ReadFault(redact(f"reading the source failed: {error!r}"), is_retryable=True)
        finally:
            sink.end(replace(self._status, is_completed=is_completed, fault=fault))

    def _read_recording(self, video: Recording, sink: FrameSink) -> bool:
        """Return whether the recording was read to its end."""
        sampling, start = self._request.sampling, self._request.start
        candidates = start.candidates or video.choose_candidates(sampling)
        is_open = False
        try:
            for entry in video.frames(
                sampling,
                candidates,
                start.replay_frame,
                start.replay_sampled,
                has_pictures=start.has_pictures,
            ):
                if not is_open:
                    is_open = True
                    status = ReadStatus("open", media=video.media, candidates=candidates, file=video.identity)
                    self._note(sink, replace(status, warnings=tuple(video.warnings)))
                elif len(video.warnings) > len(self._status.warnings):
                    self._note(sink, replace(self._status, warnings=tuple(video.warnings)))
                if not sink.put(entry):
                    return False
        finally:
            self._status = replace(self._status, warnings=tuple(video.warnings))
        return True

    def _read_camera(self, video: Camera, sink: FrameSink) -> None:
        start = self._request.start
        logged: tuple[str, str | None] | None = None
        for entry in video.frames(self._request.sampling, start.next_frame, start.unix_offset):
            if isinstance(entry, CameraStatus):
                change = entry.state, entry.loss.error if entry.loss else None
                if change != logged:  # a camera that is off is tried every 4 seconds
                    log.info("source", state=change[0], error=change[1])
                    logged = change
                media = entry.media or self._status.media
                candidates: CandidateFrames | None = "all" if media else None
                status = ReadStatus(
                    entry.state,
                    is_live=True,
                    loss=entry.loss,
                    lost_at=entry.lost_at,
                    at=time.monotonic(),
                    patience=entry.patience or self._status.patience,
                    media=media,
                    candidates=candidates,
                )
                self._note(sink, status)
            elif not sink.put(entry):
                return

    def _note(self, sink: FrameSink, status: ReadStatus) -> None:
        self._status = status
        sink.note(status)
