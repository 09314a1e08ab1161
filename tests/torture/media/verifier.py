"""Compare what a run reads of a recording with FFmpeg's own listing of it.

The listing comes from another release of FFmpeg than the service's, and knows nothing of its code.
"""

from collections.abc import Iterator
from pathlib import Path
from threading import Event

import numpy as np
from msgspec import Struct

from app.domain.sampling import EveryFrame
from app.domain.source import parse_source
from app.video.decoder.parent import ProcessReader
from app.video.reader import ThreadReader
from app.video.reading import ReadRequest, ReadStatus, SampledFrame, StartingPoint, Watermark
from tests.torture.media.listing import Listing, Pixels
from tests.torture.media.recipes import Recipe, eval_rate

MISSING = "the frame is missing: the file is damaged"
_SAME = 6.0  # levels by which two conversions of one picture may differ on average
_REORDERED = 4  # pictures: more are not shown before one that is decoded before them
_RESOLUTION = 0.0021  # seconds to which containers round times, twice
_INDEXED = frozenset(["mp4", "mov", "avi"])  # containers that list every picture
_RESYNCHRONISED = frozenset(["mkv", "webm", "ogg"])  # at the next cluster or page
_STEADY = ("", "late", "early", "trimmed")  # timings at which a gap tells how many pictures are missing


class Row(Struct, frozen=True):
    """One frame as it would be stored. `pixels` are BGR, None if there is an error."""

    ordinal: int
    time: float
    error: str | None
    pixels: Pixels | None


class Reading:
    """All that was read of a recording from frame `start` on, as a run would read it."""

    def __init__(self, path: Path, start: int = 0, *, in_process: bool = False) -> None:
        sink = Sink()
        source = parse_source(f"./{path.name}")
        begin = StartingPoint(
            candidates="all", replay_frame=start, replay_sampled=start, has_pictures=start > 0
        )
        request = ReadRequest(source, str(path.parent), "", EveryFrame(), start=begin)
        reader = ProcessReader(request) if in_process else ThreadReader(request)
        reader.start(sink)
        if not sink.is_over.wait(60):
            reader.stop()
            raise TimeoutError(f"{path.name} was not read within 60 s")
        self.rows = sink.rows
        self.end = sink.watermark
        self.warnings = sink.status.warnings
        self.media = sink.status.media
        self.fault = sink.status.fault.message if sink.status.fault else None


class Sink:
    """A FrameSink that keeps everything."""

    capacity = 4

    def __init__(self) -> None:
        self.rows: list[Row] = []
        self.watermark = 0
        self.status = ReadStatus()
        self.is_over = Event()

    def note(self, status: ReadStatus) -> None:
        self.status = status

    def put(self, entry: SampledFrame | Watermark) -> bool:
        if isinstance(entry, Watermark):
            self.watermark = entry.end
        else:
            pixels = None if entry.picture is None else entry.picture.bgr()
            self.rows.append(Row(entry.frame, entry.time, entry.error, pixels))
        return True

    def end(self, status: ReadStatus) -> None:
        self.status = status
        self.is_over.set()


def compare_whole(recipe: Recipe, read: Reading, listing: Listing) -> Iterator[str]:
    """Yield what differs between what was read of an undamaged recording and its listing."""
    yield from _check_numbers(read)
    if read.fault or read.warnings:
        yield f"not in order: {read.fault or read.warnings}"
    pictures = [packet for packet in listing.packets if not packet.is_discarded]
    if recipe.codec != "vp8" and len(pictures) != len(listing.shown):
        yield f"the listing disagrees with itself: {len(pictures)} packets, {len(listing.shown)} pictures"
    if len(read.rows) != len(listing.shown):
        yield f"{len(read.rows)} frames instead of {len(listing.shown)}"
    if read.media and read.media.frames not in (None, len(read.rows)):
        yield f"media.frames is {read.media.frames} for {len(read.rows)} frames"
    times = _times(recipe, listing)
    for row, shown, time in zip(read.rows, listing.shown, times, strict=False):
        if row.pixels is None or not is_same(row.pixels, shown.pixels):
            yield f"frame {row.ordinal} shows another picture: {row.error or _where(row, listing)}"
        if abs(row.time - time) > _RESOLUTION and recipe.codec != "xvid":  # which leaves pictures out
            yield f"frame {row.ordinal} is at {row.time:.4f} s instead of {time:.4f}"


def compare_damaged(
    recipe: Recipe, read: Reading, whole: Listing, damaged: Listing, hit: range
) -> Iterator[str]:
    """Yield what is wrong in what was read of a damaged recording.

    `whole` is the listing before the damage, `hit` are the packets that were damaged.
    """
    yield from _check_numbers(read)
    if read.fault:
        if damaged.shown:
            yield f"failed, though {len(damaged.shown)} pictures can be decoded: {read.fault}"
        return
    present = [row for row in read.rows if row.error != MISSING]
    pictures = [packet for packet in damaged.packets if not packet.is_discarded]
    if recipe.codec != "vp8" and not len(pictures) - 1 <= len(present) <= len(pictures):
        yield f"{len(present)} frames of {len(pictures)} coded pictures"
    places = _places(recipe, read, whole)
    if places is None or _first_time(whole) != _first_time(damaged):
        return
    decoded = {shown.pts for shown in damaged.shown}
    is_listed = recipe.container in _INDEXED and recipe.damage not in ("cut", "dropped")
    if is_listed and len(read.rows) != len(whole.shown):
        yield f"{len(read.rows)} frames instead of {len(whole.shown)}"
    harmed = _harmed(recipe, whole, hit)
    first = places[0] if places else 0
    for row, place in zip(read.rows, places, strict=True):
        if recipe.damage == "flips" and row.ordinal in harmed:
            continue  # its time may be damaged
        if recipe.damage == "start" and recipe.timing in ("varied", "rare"):
            break  # nothing before the damage tells the rate
        if recipe.damage == "cut" and row.ordinal > len(read.rows) - _REORDERED:
            continue  # pictures that are shown before it may be missing
        if place is None and recipe.damage == "flips":
            continue  # its time is damaged
        if place is None:
            yield f"frame {row.ordinal} is at {row.time:.4f} s, where there is none"
        elif (
            recipe.damage not in ("dropped", "flips")
            and recipe.timing in _STEADY
            and place - (first or 0) != row.ordinal
        ):
            yield f"frame {row.ordinal} is picture {place} of the undamaged recording"
        elif row.error and (
            "open-gop=1" in recipe.shape or (recipe.has_times and whole.shown[place].pts not in decoded)
        ):
            continue  # FFmpeg's program cannot decode it either, or its references are lost for long
        elif row.error == MISSING and recipe.container in _RESYNCHRONISED:
            continue  # it lies before the next place at which the demuxer can go on
        elif place not in harmed and (
            row.pixels is None or not is_same(row.pixels, whole.shown[place].pixels)
        ):
            yield f"frame {row.ordinal} shows another picture: {row.error or _where(row, whole)}"


def with_lost(hit: range, whole: Listing, damaged: Listing) -> range:
    """Return the damaged packets, and those that the damage hides from the demuxer."""
    times = {packet.pts for packet in damaged.packets}
    lost = [n for n, packet in enumerate(whole.packets) if packet.pts is not None and packet.pts not in times]
    return range(min([hit.start, *lost]), max([hit.stop, *(n + 1 for n in lost)]))


def repaired(recipe: Recipe, read: Reading, whole: Listing, hit: range) -> set[int]:
    """Return the frames that decoders repair in different ways each time: only H.264 and H.265 do not."""
    if recipe.codec in ("h264", "hevc"):
        return set()
    places = _places(recipe, read, whole)
    if places is None:
        return {row.ordinal for row in read.rows}
    harmed = _harmed(recipe, whole, hit)
    return {row.ordinal for row, place in zip(read.rows, places, strict=True) if place in harmed}


def compare_resumed(read: Reading, resumed: Reading, start: int, repaired: set[int]) -> Iterator[str]:
    """Yield what differs if reading begins at frame `start`, or in a process, but for `repaired` frames."""
    expected = read.rows[start:]
    if len(resumed.rows) != len(expected) or (resumed.end != read.end and not read.fault):
        yield f"from {start}: {len(resumed.rows)} frames instead of {len(expected)}"
    for row, other in zip(expected, resumed.rows, strict=False):
        facts = [(each.ordinal, each.time) for each in (row, other)]
        shown = [(each.error, _bytes(each)) for each in (row, other)]
        if facts[0] != facts[1] or (row.ordinal not in repaired and shown[0] != shown[1]):
            yield f"from {start}: frame {row.ordinal} differs"
    if resumed.warnings != read.warnings or resumed.fault != read.fault:
        yield f"from {start}: {resumed.fault or resumed.warnings} instead of {read.fault or read.warnings}"


def _first_time(listing: Listing) -> int | None:
    return min((packet.pts for packet in listing.packets if packet.pts is not None), default=None)


def _bytes(row: Row) -> bytes | None:
    return None if row.pixels is None else row.pixels.tobytes()


def _check_numbers(read: Reading) -> Iterator[str]:
    ordinals = [row.ordinal for row in read.rows]
    if ordinals != list(range(len(ordinals))) or (read.end != len(ordinals) and not read.fault):
        yield f"the ordinals are not 0 to {read.end - 1}: {ordinals}"
    times = [row.time for row in read.rows]
    if times != sorted(times):
        yield "times decrease"


def _times(recipe: Recipe, listing: Listing) -> list[float]:
    """Return when each picture is shown, in seconds after the first."""
    if not recipe.has_times:
        return [n / eval_rate(recipe.fps) for n in range(len(listing.shown))]
    pts = sorted(shown.pts or 0 for shown in listing.shown)
    return [(each - pts[0]) * listing.tick for each in pts]


def _places(recipe: Recipe, read: Reading, whole: Listing) -> list[int | None] | None:
    """Return which picture of the undamaged recording each frame is, by its time; None if it has none."""
    if not recipe.has_times:
        same = len(read.rows) == len(whole.shown) or (recipe.container == "avi" and recipe.damage == "cut")
        return list(range(len(read.rows))) if same else None
    if recipe.timing == "dense" and len(read.rows) != len(whole.shown):
        return None  # several have one time
    pts = [shown.pts or 0 for shown in whole.shown]
    times = (np.array(pts) - min(pts)) * whole.tick
    places: list[int | None] = []
    for row in read.rows:
        nearest = int(np.abs(times - row.time).argmin())
        if row.ordinal < len(times) and times[row.ordinal] == times[nearest]:
            nearest = row.ordinal  # of several at one time
        places.append(nearest if abs(times[nearest] - row.time) <= 2 * _RESOLUTION else None)
    return places


def _harmed(recipe: Recipe, whole: Listing, hit: range) -> set[int]:
    """Return the pictures, in presentation order, that may differ if these packets are damaged.

    They are those up to the next key frame, and what is shown before that though it comes after it.
    """
    packets = whole.packets
    end = next((n for n in range(hit.stop, len(packets)) if packets[n].is_key), len(packets))
    before = 2 if recipe.container in ("ts", "mpg") else 1  # whose end is found by what follows
    numbers = set(range(max(hit.start - before, 0), end))
    if recipe.container == "ogg":
        numbers.add(end)  # its times are those of its pages
    if end < len(packets) and (key := packets[end].pts) is not None:
        numbers |= {n for n in range(end, min(end + 5, len(packets))) if (packets[n].pts or 0) < key}
    if any(packet.pts is None for packet in packets):
        return {n for number in numbers for n in range(number - 6, number + 7)}
    order = sorted((packet.pts or 0, n) for n, packet in enumerate(packets) if not packet.is_discarded)
    return {rank for rank, (_, n) in enumerate(order) if n in numbers}


def _where(row: Row, listing: Listing) -> str:
    """Return which picture of the listing a frame shows."""
    found = [
        n
        for n, shown in enumerate(listing.shown)
        if row.pixels is not None and is_same(row.pixels, shown.pixels)
    ]
    return f"that of {found}" if found else "none of the listing"


def is_same(one: Pixels, other: Pixels) -> bool:
    """Return whether two conversions show one picture."""
    if one.shape != other.shape:
        return False
    return bool(np.abs(one.astype(np.int16) - other.astype(np.int16)).mean() <= _SAME)
