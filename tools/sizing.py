"""Compute the size of a fleet: `python -m tools.sizing --cameras 10000`.

The costs are those measured in docs/scaling.md. To use the costs of your machines, run
`python -m benchmarks.scaling` and pass its results as options.
"""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from math import ceil
from operator import itemgetter
from typing import Any

DAY = 86_400
GIB = 2**30
CONNECTIONS = 11
"""Connections of a runner or an API to the predictions database, at most (docs/fleet.md)."""

MAX_BATCHES = 5.0
"""Batches per second and camera, at most: frames are collected for a fifth of a second."""


def _option(default: float, text: str) -> Any:
    return field(default=default, metadata={"help": text})


@dataclass(frozen=True)
class Load:
    """The load, and the costs measured on one core of the machine in docs/scaling.md."""

    cameras: int = _option(1000, "live cameras")
    fps: float = _option(2.0, "sampled frames per second of each camera")
    detections: float = _option(2.0, "detections in each sampled frame")
    cores: int = _option(8, "CPU cores of each runner machine and each database server")
    utilization: float = _option(0.7, "share of the cores to use")
    runner_ms: float = _option(
        48.0, "CPU time of a runner for one second of a camera: receive, decode, detect"
    )
    runner_mib: float = _option(41.0, "memory of a runner for each camera")
    process_mib: float = _option(150.0, "memory of a runner without cameras")
    statement_ms: float = _option(0.7, "CPU time of the predictions database for each statement of a runner")
    frame_ms: float = _option(0.042, "the same for each camera's frame in a statement")
    renewal_ms: float = _option(0.046, "CPU time of the scenarios database for each renewed lease")
    heartbeat: float = _option(1.0, "seconds between heartbeats (VA_HEARTBEAT_INTERVAL)")
    orchestrators: int = _option(2, "orchestrators; each of them renews every lease")
    apis: int = _option(2, "processes that answer requests")
    max_connections: int = _option(1000, "connections that the predictions database allows")
    frame_bytes: float = _option(125.0, "disk space of each stored frame, with its index entries")
    detection_bytes: float = _option(28.0, "disk space of each detection in a frame")
    starts: float = _option(150.0, "scenarios that start per second")


@dataclass(frozen=True)
class Fleet:
    """The size of a fleet."""

    cameras_per_runner: int
    runners: int
    runner_gib: float
    partitions: int
    batches_per_second: float
    statements_per_second: float
    prediction_cores: float
    prediction_connections: int
    renewals_per_second: float
    scenario_cores: float
    gib_per_day: float
    start_seconds: float
    limits: dict[str, float]
    """Cameras at which a part reaches its limit, if their runners are added."""

    @property
    def bottleneck(self) -> str:
        """Return which part reaches its limit first."""
        return min(self.limits, key=self.limits.__getitem__)


def size(load: Load) -> Fleet:
    """Return the fleet for a load."""
    usable = load.cores * load.utilization
    each = max(1, int(usable * 1000 / load.runner_ms))
    runners = ceil(load.cameras / each)
    batches = load.cameras * min(load.fps, MAX_BATCHES)
    statements = min(MAX_BATCHES * runners, batches)
    renewals = load.cameras / load.heartbeat * load.orchestrators
    stored = load.fps * DAY * (load.frame_bytes + load.detection_bytes * load.detections)
    prediction_cores = (statements * load.statement_ms + batches * load.frame_ms) / 1000
    scenario_cores = renewals * load.renewal_ms / 1000
    connected = max(load.max_connections // CONNECTIONS - load.apis, 0)  # runners
    limits: dict[str, float] = {"connections of the predictions database (max_connections)": each * connected}
    for part, cores in (
        ("predictions database, by its frames per second", prediction_cores),
        ("scenarios database, by its lease renewals per second", scenario_cores),
    ):
        if cores:
            limits[part] = load.cameras * usable / cores
    return Fleet(
        cameras_per_runner=each,
        runners=runners,
        runner_gib=(load.process_mib + min(each, load.cameras) * load.runner_mib) / 1024,
        partitions=max(12, 2 * load.orchestrators),
        batches_per_second=batches,
        statements_per_second=statements,
        prediction_cores=prediction_cores,
        prediction_connections=CONNECTIONS * (runners + load.apis),
        renewals_per_second=renewals,
        scenario_cores=scenario_cores,
        gib_per_day=load.cameras * stored / GIB,
        start_seconds=load.cameras / load.starts,
        limits=limits,
    )


def describe(load: Load, fleet: Fleet) -> str:
    """Return a description of the fleet for people."""
    usable = load.cores * load.utilization
    servers = fleet.prediction_cores / usable
    limits = fleet.limits.items()
    lines = [
        f"{load.cameras:,} cameras at {load.fps:g} frames/s, {load.detections:g} detections in each",
        (
            f"runners            {fleet.runners:,} of {load.cores} cores and {fleet.runner_gib:.1f} GiB,"
            f" {fleet.cameras_per_runner} cameras each (VA_RUNNER_SLOTS)"
        ),
        (
            f"Kafka              {fleet.partitions} partitions (VA_KAFKA_PARTITIONS),"
            f" {fleet.runners / load.heartbeat:,.0f} heartbeats/s"
        ),
        (
            f"predictions        {fleet.batches_per_second:,.0f} batches/s"
            f" in {fleet.statements_per_second:,.0f} statements: {fleet.prediction_cores:.1f} cores,"
            f" {servers:.2f} of a server with {load.cores}"
        ),
        f"connections        up to {fleet.prediction_connections:,} to the predictions database",
        f"scenarios          {fleet.renewals_per_second:,.0f} renewals/s: {fleet.scenario_cores:.1f} cores",
        f"disk               {fleet.gib_per_day:,.1f} GiB per day",
        f"start of all       {fleet.start_seconds:,.0f} s",
        "limits",
        *(f"{cameras:>12,.0f} cameras  {part}" for part, cameras in sorted(limits, key=itemgetter(1))),
    ]
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the size of the fleet for the options."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    for option in fields(Load):
        name = f"--{option.name.replace('_', '-')}"
        parser.add_argument(
            name, type=type(option.default), default=option.default, help=option.metadata["help"]
        )
    load = Load(**vars(parser.parse_args(arguments)))
    print(describe(load, size(load)))


if __name__ == "__main__":
    main()
