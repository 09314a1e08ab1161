"""How well objects are followed, against the trackers of the package `trackers`: `make bench-tracking`.

All get the same detections of the same scenes. The options of each reference are searched for each frame
rate on scenes of other seeds; the service's tracker has one set of constants. It prints HOTA and IDF1 in
percent.
"""

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec

from app.analysis.tracking.tracker import Tracker
from app.domain.analysis import Tracking
from benchmarks.reference_trackers import REFERENCES, Follow, Found, Options, Reference, Score, score
from tests.support.scenes import WORLDS, Scene, SceneFrame, labelled_clip, make_scene

RATES = (30, 10, 5, 2)
TUNING_SEEDS = (1,)
SEEDS = (11, 12, 13)


def own(scene: Scene, frames: Sequence[SceneFrame], _rate: int) -> list[Found]:
    """Follow objects with the service's tracker, on its defaults."""
    tracker = Tracker(Tracking())
    found = []
    for frame in frames:
        ids = tracker.update(frame.frame, frame.time, scene.size, frame.detections).track_ids
        pairs = [
            (one.box, number) for one, number in zip(frame.detections, ids, strict=True) if number is not None
        ]
        found.append(([box for box, _ in pairs], [number for _, number in pairs]))
    return found


def tuned(reference: Reference, scenes: list[Scene], rate: int) -> Options:
    """Return the best options: each in turn is given the value with the best mean of HOTA and IDF1.

    The first one is searched again at the end, because the others depend on it most.
    """
    best = reference.start()
    reached = score(reference.with_options(best), scenes, rate)["all"].both
    first, *others = reference.choices
    for name in (first, *others, first):
        for options in list(reference.neighbours(best, name)):
            now = score(reference.with_options(options), scenes, rate)["all"].both
            if now > reached:
                best, reached = options, now
    return best


def milliseconds(follow: Follow, scene: Scene) -> float:
    """Return the time per frame."""
    frames = scene.sampled(10)
    start = time.perf_counter()
    follow(scene, frames, 10)
    return (time.perf_counter() - start) * 1000 / len(frames)


def main() -> None:
    """Tune the references, compare, and print one table per frame rate."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the scores there, too")
    parser.add_argument("--rates", type=int, nargs="*", default=RATES, help="frames/s (default: 30 10 5 2)")
    parser.add_argument("--only-own", action="store_true", help="measure no reference")
    options = parser.parse_args()
    tuning = [make_scene(name, seed) for name in WORLDS for seed in TUNING_SEEDS]
    scenes = [make_scene(name, seed) for name in WORLDS for seed in SEEDS]
    clip = labelled_clip()
    results: dict[int, dict[str, dict[str, Score]]] = {}
    for rate in options.rates:
        print(
            f"\n{rate} frames/s, HOTA / IDF1\n{'':12}" + "".join(f"{name:>14}" for name in [*WORLDS, "all"])
        )
        rows = {"own": score(own, scenes, rate)}
        real = {"own": score(own, [clip], rate)} if rate <= clip.rate else {}
        _show("own", rows["own"])
        for reference in () if options.only_own else REFERENCES:
            best = tuned(reference, tuning, rate)
            rows[reference.name] = score(reference.with_options(best), scenes, rate)
            _show(reference.name, rows[reference.name])
            print(f"{'':12}  {_told(best)}", flush=True)
            if real:
                real[reference.name] = score(reference.with_options(best), [clip], rate)
        for name, one in real.items():
            print(f"{name:12}{100 * one['all'].hota:7.1f} /{100 * one['all'].idf1:5.1f}  in the real clip")
            rows[name][clip.name] = one["all"]
        results[rate] = rows
    if options.json is not None:
        options.json.write_bytes(msgspec.json.format(msgspec.json.encode(results)) + b"\n")
    crowd = next(scene for scene in scenes if scene.name == "crowd")
    print(f"\nms per frame in the crowd of 35: own {milliseconds(own, crowd):.2f}", file=sys.stdout)
    for reference in () if options.only_own else REFERENCES:
        print(f"  {reference.name} {milliseconds(reference.with_options(reference.start()), crowd):.2f}")


def _show(name: str, scores: dict[str, Score]) -> None:
    cells = [f"{100 * one.hota:7.1f} /{100 * one.idf1:5.1f}" for one in scores.values()]
    print(f"{name:12}" + "".join(f"{cell:>14}" for cell in cells), flush=True)


def _told(options: Options) -> str:
    values = {
        name: type(value).__name__ + (f"({value.buffer_ratio})" if hasattr(value, "buffer_ratio") else "")
        if name == "iou"
        else value
        for name, value in options.items()
    }
    return ", ".join(f"{name} {value}" for name, value in values.items())


if __name__ == "__main__":
    main()
