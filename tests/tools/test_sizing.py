"""Sizes of fleets: they grow with the load, and the output names the bottleneck."""

from dataclasses import replace

import pytest

from tools.sizing import Load, main, size


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


def test_the_bottleneck_depends_on_the_costs() -> None:
    load = Load(cameras=100)
    assert "predictions" in size(load).bottleneck
    assert "scenarios" in size(replace(load, fps=0.01)).bottleneck


def test_the_output_begins_with_the_load(capsys: pytest.CaptureFixture[str]) -> None:
    main(["--cameras", "10000", "--cores", "16"])
    page = capsys.readouterr().out
    assert page.startswith("10,000 cameras at 2 frames/s")
    assert "bottleneck         predictions database" in page
