"""How large a fleet has to be: `python -m tools.sizing --cameras 10000`.

It multiplies what docs/scaling.md says was measured, and knows nothing else. Measure on your machines with
`python -m benchmarks.scaling`, and give what you find as options.
"""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from math import ceil
from typing import Any

DAY = 86_400
GIB = 2**30
BATCHES = 4.0
"""A second and camera, at most: frames are stored as they come, and gather for a quarter of a second."""


def _option(default: float, text: str) -> Any:
    return field(default=default, metadata={"help": text})


@dataclass(frozen=True)
class Load:
    """What is asked for, and what was measured on one core of the machine of docs/scaling.md."""

    cameras: int = _option(1000, "live cameras")
    fps: float = _option(2.0, "sampled frames a second of each")
    detections: float = _option(2.0, "detections in each sampled frame")
    cores: int = _option(8, "of each runner's machine, and of each database server")
    busy: float = _option(0.7, "how much of the cores is to be used")
    runner_ms: float = _option(48.0, "CPU of a runner for a second of one camera: receive, decode, detect")
    runner_mib: float = _option(41.0, "memory of a runner for each camera")
    process_mib: float = _option(150.0, "memory of a runner without any")
    batch_ms: float = _option(1.05, "CPU of the predictions database for each batch")
    renewal_ms: float = _option(0.013, "CPU of the scenarios database for each lease renewed")
    heartbeat: float = _option(1.0, "seconds between heartbeats (VA_HEARTBEAT_INTERVAL)")
    orchestrators: int = _option(2, "each of them renews every lease")
    frame_bytes: float = _option(125.0, "on disk for each stored frame, index entries included")
    detection_bytes: float = _option(28.0, "on disk for each detection in it")
    starts: float = _option(150.0, "scenarios begun a second")


@dataclass(frozen=True)
class Fleet:
    """What that comes to."""

    cameras_a_runner: int
    runners: int
    runner_gib: float
    partitions: int
    writes: float
    prediction_cores: float
    renewals: float
    scenario_cores: float
    gib_a_day: float
    start_seconds: float

    @property
    def gives_way(self) -> str:
        """Which part reaches its limit first as cameras are added, runners being added with them."""
        if self.prediction_cores >= self.scenario_cores:
            return "the predictions database: its batches a second"
        return "the scenarios database: its lease renewals a second"


def size(load: Load) -> Fleet:
    """The fleet for a load."""
    usable = load.cores * load.busy
    each = max(1, int(usable * 1000 / load.runner_ms))
    runners = ceil(load.cameras / each)
    writes = load.cameras * min(load.fps, BATCHES)
    renewals = load.cameras / load.heartbeat * load.orchestrators
    stored = load.fps * DAY * (load.frame_bytes + load.detection_bytes * load.detections)
    return Fleet(
        cameras_a_runner=each,
        runners=runners,
        runner_gib=(load.process_mib + min(each, load.cameras) * load.runner_mib) / 1024,
        partitions=max(12, 2 * load.orchestrators),
        writes=writes,
        prediction_cores=writes * load.batch_ms / 1000,
        renewals=renewals,
        scenario_cores=renewals * load.renewal_ms / 1000,
        gib_a_day=load.cameras * stored / GIB,
        start_seconds=load.cameras / load.starts,
    )


def describe(load: Load, fleet: Fleet) -> str:
    """For people."""
    usable = load.cores * load.busy
    servers = fleet.prediction_cores / usable
    lines = [
        f"{load.cameras:,} cameras at {load.fps:g} frames/s, {load.detections:g} detections in each",
        (
            f"runners            {fleet.runners:,} of {load.cores} cores and {fleet.runner_gib:.1f} GiB,"
            f" {fleet.cameras_a_runner} cameras each (VA_RUNNER_SLOTS)"
        ),
        (
            f"Kafka              {fleet.partitions} partitions (VA_KAFKA_PARTITIONS),"
            f" {fleet.runners / load.heartbeat:,.0f} heartbeats/s"
        ),
        (
            f"predictions        {fleet.writes:,.0f} batches/s: {fleet.prediction_cores:.1f} cores,"
            f" {servers:.2f} of a server with {load.cores}"
        ),
        f"scenarios          {fleet.renewals:,.0f} renewals/s: {fleet.scenario_cores:.1f} cores",
        f"disk               {fleet.gib_a_day:,.1f} GiB a day",
        f"to start them all  {fleet.start_seconds:,.0f} s",
        f"gives way first    {fleet.gives_way}"
        + (f", from {load.cameras / servers:,.0f} cameras on" if servers else ""),
    ]
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> None:
    """Compute and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    for each in fields(Load):
        name = f"--{each.name.replace('_', '-')}"
        parser.add_argument(name, type=type(each.default), default=each.default, help=each.metadata["help"])
    load = Load(**vars(parser.parse_args(arguments)))
    print(describe(load, size(load)))


if __name__ == "__main__":
    main()
