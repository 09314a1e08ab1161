"""Sizes of fleets: they grow with what is asked for, and the printed page names what gives way first."""

from dataclasses import replace

import pytest

from tools.sizing import Load, main, size


def test_runners_and_writes_grow_with_the_cameras() -> None:
    small, large = (size(Load(cameras=cameras)) for cameras in (1000, 10_000))
    assert large.cameras_a_runner == small.cameras_a_runner
    assert large.runners == pytest.approx(10 * small.runners, abs=10)
    assert large.writes == 10 * small.writes == 20_000
    assert large.gib_a_day == pytest.approx(10 * small.gib_a_day)


def test_a_runner_has_at_least_one_camera_however_dear() -> None:
    assert size(Load(cameras=3, cores=1, runner_ms=5000)).runners == 3


def test_batches_of_a_camera_have_a_bound() -> None:
    assert size(Load(cameras=1, fps=30)).writes == 4


def test_what_gives_way_first_depends_on_what_is_measured() -> None:
    load = Load(cameras=100)
    assert "predictions" in size(load).gives_way
    assert "scenarios" in size(replace(load, fps=0.01)).gives_way


def test_the_page_answers_what_was_asked(capsys: pytest.CaptureFixture[str]) -> None:
    main(["--cameras", "10000", "--cores", "16"])
    page = capsys.readouterr().out
    assert page.startswith("10,000 cameras at 2 frames/s")
    assert "gives way first    the predictions database" in page
