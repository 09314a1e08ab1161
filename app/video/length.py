"""How long a recording is said to be by its container, and whether it was read to that end."""

from collections.abc import Callable
from contextlib import suppress
from fractions import Fraction
from os import SEEK_END

from av import time_base

from ..domain.reason import ScenarioWarning
from ..domain.source import Source
from .appended import is_followed
from .avi_index import count_pictures, last_time
from .container import OpenContainer
from .cut_off import is_cut_off, is_scrambled
from .demuxer import PictureDemuxer, frame_rate
from .file_window import ReadableFile
from .files import WatchedFile
from .ivf import ivf_length
from .transport.http_file import HttpFile

_ONE_DURATION = frozenset(["matroska,webm", "flv", "asf"])  # formats with one duration, of the longest stream
_END_TIME = frozenset(["matroska,webm", "flv"])  # … which counts from time 0, not from the recording's start
_NO_TIMESTAMPS = 0x80  # FFmpeg's AVFMT_NOTIMESTAMPS: a flag of formats without a container
_TOLERANCE = 1.0  # seconds that may be missing at the end


class DeclaredLength:
    """What a container declares. `rate` (frames per second), `frames` and `seconds` are None if unknown.

    `is_estimate`: `frames` is one. `covers_all_streams`: the duration is that of the longest stream, which
    may be the sound. Set `is_damaged` if reading ended at damaged data.
    """

    def __init__(self, opened: OpenContainer, source: Source) -> None:
        container, stream = opened.container, opened.stream
        name = container.format.name
        rate = frame_rate(container, stream)
        self.rate = float(rate) if rate else None
        self.frames = source.frames or stream.frames or None
        self._stored_frames = self.frames
        self.covers_all_streams = name in _ONE_DURATION
        self.is_damaged = self.is_estimate = False
        self._opened = opened
        # The index of an mp4 with fragments has the first one alone.
        if opened.index.has_fragments or not opened.index.has_length:
            self.frames = self._stored_frames = None
        if name.endswith("_pipe"):  # a file that is one picture, to which FFmpeg gives a rate of 25
            self.frames, self.rate = 1, None
        if name == "gif":  # FFmpeg counts those that there are
            self._stored_frames = None
        self._ivf = ivf_length(stream, rate) if name == "ivf" else None
        if self._ivf is not None:
            self.frames = self._stored_frames = self._ivf.pictures
        self.seconds: float | None = None
        pictures = count_pictures(stream) if name == "avi" else 0
        if self.frames and rate and 0 < pictures < self.frames <= last_time(stream) + rate:
            rate *= Fraction(pictures, self.frames)  # the others are empty, and repeat the one before
            self.rate, self.frames = float(rate), pictures
        if not opened.index.has_length or container.format.flags & _NO_TIMESTAMPS:
            self.seconds = None  # FFmpeg would guess it from the bit rate
        elif self._ivf is not None:
            self.seconds = float(self.frames / rate) if self.frames and rate else None
        elif stream.duration and stream.time_base:
            self.seconds = float(stream.duration * stream.time_base)
        elif container.duration:
            start = max(container.start_time or 0, 0) if name in _END_TIME else 0
            self.seconds = (container.duration - start) / time_base
        elif self.frames and rate:
            self.seconds = float(self.frames / rate)
        # FFmpeg finds the duration of other formats, such as MPEG-TS, from the end of the file as it is.
        self._declared_seconds: float | None = None
        if name == "avi" and self.frames and rate:
            self._declared_seconds = float(self.frames / rate)
        elif self.covers_all_streams or (name == "mxf" and stream.duration):
            self._declared_seconds = self.seconds
        elif (
            name.startswith("mov")
            and self.frames
            and self.seconds
            and rate
            and round(self.seconds * rate) != stream.frames
        ):  # an edit list may leave out stored frames, or show them twice
            self.frames = sum(not entry.is_discard for entry in stream.index_entries)

    def count_fields(self, pictures: int, pairs: int) -> None:
        """Correct what counts packets: of the first `pictures`, `pairs` were two packets each."""
        if pairs and self.frames:
            share = pictures / (pictures + pairs)
            self.frames, self.is_estimate = round(self.frames * share), True
            self.rate = self.rate * share if self.rate else None

    def early_end(
        self, file: WatchedFile, demuxer: PictureDemuxer, pictures: int, last_frame: int, last_time: float
    ) -> ScenarioWarning | None:
        """Return a warning if the recording, which was read to its end, ended early or could not be read on.

        `pictures` is the number of coded pictures that were read, `last_frame` the ordinal of the last
        undamaged frame, -1 if there is none; `last_time` is the time of the last frame, in seconds.
        """
        if demuxer.next_codec:
            text = (
                f"After frame {last_frame} ({last_time:.1f} s) the recording goes on in {demuxer.next_codec},"
                " another codec, and the rest was not analysed: cut the recording there."
            )
            return ScenarioWarning("ends_early", text, last_frame + 1)
        if self._is_followed(file, demuxer):
            what = "was only analysed in part" if demuxer.joins else "was not analysed"
            text = (
                f"Another recording follows in the same file, and {what}: frame {last_frame} ({last_time:.1f}"
                " s) is the last. Make a file of each recording, or join them with ffmpeg -f concat."
            )
            return ScenarioWarning("ends_early", text, last_frame + 1)
        if self.is_scrambled(file, demuxer):
            last = f"frame {last_frame} ({last_time:.1f} s)"
            text = f"The end of the recording is encrypted: {last} was the last that could be read."
            return ScenarioWarning("ends_early", text, last_frame + 1)
        if not self.is_damaged and not self._is_short(file, demuxer, pictures):
            return None
        what = (
            "The rest of the recording is damaged"
            if self.is_damaged
            else "The end of the recording is missing"
        )
        is_known = bool(self._stored_frames)
        total = f" of {self.frames}" if is_known else ""
        declared = f" of {self.seconds:.1f}" if self._declared_seconds and not is_known else ""
        last = f"frame {last_frame}{total} ({last_time:.1f}{declared} s)"
        text = f"{what}: {last} was the last that could be read."
        if not total and not declared:
            text += " Nothing tells how much is missing."
        return ScenarioWarning("ends_early", text, last_frame + 1)

    def is_scrambled(self, file: WatchedFile, demuxer: PictureDemuxer) -> bool:
        """Return whether the end of an MPEG-TS is encrypted, so that FFmpeg did not read it."""
        track = self._opened.stream.id
        return self._opened.container.format.name == "mpegts" and self._ask(
            file, lambda opened, size, _: is_scrambled(opened, size, track, demuxer.last_place)
        )

    def _is_followed(self, file: WatchedFile, demuxer: PictureDemuxer) -> bool:
        index = self._opened.index
        if index.is_followed or (index.repeats_header and demuxer.joins):
            return True
        return self._ask(file, lambda opened, _, name: is_followed(opened, name, demuxer.last_place))

    def _is_short(self, file: WatchedFile, demuxer: PictureDemuxer, pictures: int) -> bool:
        index = self._opened.stream.index_entries
        name = self._opened.container.format.name
        if demuxer.ends_within_picture:
            return True
        if name.startswith("mov"):
            if len(index) > demuxer.packets < sum(entry.size > 0 for entry in index):
                return True
            if self._stored_frames:
                return False
        if self._ivf is not None:
            return self._ivf.is_short(demuxer.packets, demuxer.end_seconds)
        if self._stored_frames and pictures >= self._stored_frames:
            return False
        if self._declared_seconds is not None:
            missing = self._declared_seconds - demuxer.end_seconds
            if missing > _TOLERANCE:
                return True
            if missing < 0.5 / (self.rate or 25):
                return False  # what is missing is no picture
        return self._ask(file, is_cut_off)

    def _ask(self, file: WatchedFile, question: Callable[[ReadableFile, int, str], bool]) -> bool:
        """Return what a look at the file itself tells, false if it cannot be looked at."""
        remote, name = self._opened.remote, self._opened.container.format.name
        with suppress(OSError):
            if isinstance(remote, HttpFile) and remote.identity.size and remote.seekable():
                # The boxes of a fragmented mp4 are not visited: each would take a request.
                return not self._opened.index.has_fragments and question(remote, remote.identity.size, name)
            if (opened := file.open()) is not None:
                with opened:
                    return question(opened, opened.seek(0, SEEK_END), name)
        return False
