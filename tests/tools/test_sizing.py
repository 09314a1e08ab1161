"""Sizes of fleets: they grow with the load, and the output names the bottleneck."""

from dataclasses import replace

import pytest

from tools.sizing import Load, describe, main, size


def test_runners_and_writes_grow_with_the_cameras() -> None:
    small, large = (size(Load(cameras=cameras)) for cameras in (1000, 10_000))
    assert large.cameras_per_runner == small.cameras_per_runner
    assert large.runners == pytest.approx(10 * small.runners, abs=10)
    assert large.batches_per_second == 10 * small.batches_per_second == 20_000
    assert large.gib_per_day == pytest.approx(10 * small.gib_per_day)


def test_a_runner_has_at_least_one_camera_whatever_it_costs() -> None:
    assert size(Load(cameras=3, cores=1, runner_ms=5000)).runners == 3


def test_the_batches_of_a_camera_are_limited() -> None:
    assert size(Load(cameras=1, fps=30)).batches_per_second == 5


def test_the_cameras_of_a_runner_share_statements() -> None:
    few = size(Load(cameras=10_000, cores=64))
    many = size(Load(cameras=10_000, cores=4))
    assert few.statements_per_second == 5 * few.runners < many.statements_per_second
    assert few.prediction_cores < many.prediction_cores
    assert few.prediction_connections == 11 * (few.runners + 2)
    assert size(Load(cameras=1, fps=0.5)).statements_per_second == 0.5


def test_the_bottleneck_depends_on_the_costs() -> None:
    load = Load(cameras=100, max_connections=1_000_000)
    assert size(load).bottleneck.startswith("predictions")
    assert size(replace(load, fps=0.01)).bottleneck.startswith("scenarios")
    assert size(replace(load, max_connections=100)).bottleneck.startswith("connections")


@pytest.mark.parametrize(
    "load", [Load(cameras=0), Load(cameras=10, fps=0), Load(cameras=10, statement_ms=0, frame_ms=0)]
)
def test_what_costs_nothing_limits_nothing(load: Load) -> None:
    fleet = size(load)
    assert fleet.prediction_cores == 0
    assert not any(part.startswith("predictions") for part in fleet.limits)
    assert f"{load.cameras} cameras" in describe(load, fleet)


def test_the_output_begins_with_the_load(capsys: pytest.CaptureFixture[str]) -> None:
    main(["--cameras", "10000", "--cores", "16"])
    page = capsys.readouterr().out
    assert page.startswith("10,000 cameras at 2 frames/s")
    limits = page.partition("limits\n")[2].splitlines()
    assert "predictions database, by its frames per second" in limits[1]
    assert [len(limits), "cameras  connections" in limits[0]] == [3, True]
