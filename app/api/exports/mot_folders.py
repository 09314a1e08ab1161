"""Several videos as the MOT Challenge has them: a zip with a folder for each, written as it is read."""

import re
from typing import IO
from zipfile import ZIP_DEFLATED, ZipFile

import numpy as np

from ...predictions.columns import DetectionColumns
from .exported import ExportedVideo
from .parts import FileInParts
from .tables import number_texts

_NAME = 60  # characters of a path in the name of a folder, of up to four bytes: file systems allow 255


class MotFoldersWriter:
    """A zip with `<video>/seqinfo.ini`, and what was followed as true tracks in `<video>/gt/gt.txt`.

    Of a video in which nothing is followed, the detections are in `<video>/det/det.txt`.
    Source: https://motchallenge.net/instructions/, and the files of MOT17 for `seqinfo.ini`.
    """

    media_type = "application/zip"
    passes = 1

    def __init__(self) -> None:
        self._sink = FileInParts()
        self._zip = _Archive(self._sink, "w", ZIP_DEFLATED, compresslevel=1)
        self._video: ExportedVideo | None = None
        self._file: IO[bytes] | None = None
        self._is_followed = False

    def begin(self, number: int) -> bytes:  # noqa: ARG002  there is one pass
        """Return nothing."""
        return b""

    def frames(self, video: ExportedVideo, found: DetectionColumns) -> bytes:
        """Return what is ready of the zip with these frames."""
        if self._video is None or video.number != self._video.number:
            self._end_video()
            self._video = video
        if found.labels:
            is_followed = bool(found.track_ids) if video.is_followed is None else video.is_followed
            file = self._file or self._begin_file(is_followed=is_followed)
            file.write(_tracks(found) if self._is_followed else _detections(found))
        return self._sink.take()

    def end(self) -> bytes:
        """Return the last video, and the directory of the zip."""
        self._end_video()
        self._zip.close()
        return self._sink.take()

    def _begin_file(self, *, is_followed: bool) -> IO[bytes]:
        self._is_followed = is_followed
        self._file = self._open("gt/gt.txt" if is_followed else "det/det.txt")
        return self._file

    def _end_video(self) -> None:
        if self._video is None:
            return
        (self._file or self._begin_file(is_followed=self._video.is_followed is not False)).close()
        self._file = None
        with self._open("seqinfo.ini") as file:
            file.write(_sequence_info(self._video).encode())

    def _open(self, name: str) -> IO[bytes]:
        """Begin a file, of any size, without a date: the same export has the same bytes."""
        assert self._video is not None  # noqa: S101  both callers have one
        return self._zip.open(f"{_folder_name(self._video)}/{name}", "w", force_zip64=True)


class _Archive(ZipFile):
    def __del__(self) -> None:
        """Do not end the zip of an export that was broken off."""


def _folder_name(video: ExportedVideo) -> str:
    """Return a name that no other video of the export has, with nothing that file systems refuse."""
    plain = re.sub(r"[^\w.-]+", "_", video.source)[-_NAME:].strip("._")
    return f"{video.number:05d}-{plain}" if plain else f"{video.number:05d}"


def _sequence_info(video: ExportedVideo) -> str:
    media = video.media
    frames = max(video.frames.end, (media.frames if media is not None else None) or 0)
    lines = ["[Sequence]", f"name={_folder_name(video)}", "imDir=img1"]
    if media is not None and media.fps is not None:
        lines.append(f"frameRate={media.fps:g}")
    lines.append(f"seqLength={frames}")
    if media is not None:
        lines += [f"imWidth={media.width}", f"imHeight={media.height}"]
    return "\n".join([*lines, "imExt=.jpg", ""])


def _boxes(found: DetectionColumns) -> list[list[bytes]]:
    """Return left, top, width and height of each box; positions count from 1."""
    x1, y1, x2, y2 = found.numbers.T[1:]
    return [number_texts(np.round(each, 2).tolist()) for each in (x1 + 1, y1 + 1, x2 - x1, y2 - y1)]


def _tracks(found: DetectionColumns) -> bytes:
    """Return `frame, id, left, top, width, height, 1, 1, 1`: considered, of class 1, visible."""
    frames = found.of_detections([frame + 1 for frame in found.frames])
    tracks = found.track_ids or [None] * len(found.labels)
    rows = zip(frames, tracks, *_boxes(found), strict=True)
    return b"".join(b"%d,%d,%b,%b,%b,%b,1,1,1\n" % row for row in rows if row[1] is not None)


def _detections(found: DetectionColumns) -> bytes:
    frames = found.of_detections([frame + 1 for frame in found.frames])
    rows = zip(frames, *_boxes(found), number_texts(found.numbers.T[0].tolist()), strict=True)
    return b"".join(map(b"%d,-1,%b,%b,%b,%b,%b,-1,-1,-1\n".__mod__, rows))
