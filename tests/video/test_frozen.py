"""Cameras whose picture never changes."""

from pathlib import Path
from threading import Event

import numpy as np
import pytest

from app.domain.picture import Image
from app.domain.sampling import EveryFrame
from app.video import camera as video_camera
from app.video.camera import CameraStatus
from tests.support import clips
from tests.support.web_server import web_server
from tests.video.watching import live_playlist, watched


def states_of(
    tmp_path: Path,
    stop: Event,
    monkeypatch: pytest.MonkeyPatch,
    pictures: list[Image],
    gop: int,
    quantizer: int = 30,
) -> list[str]:
    """How a camera with these pictures, 30 a second, is shown. It is frozen after 0.6 s."""
    monkeypatch.setattr(video_camera, "_FROZEN", 0.6)
    monkeypatch.setattr(video_camera, "_COMPARE_EVERY", 0.1)
    clips.encode(
        tmp_path / "one.ts", pictures, gop=gop, bframes=0, options={"crf": "-1", "qp": str(quantizer)}
    )
    live_playlist(tmp_path, len(pictures) / 30)
    with web_server(tmp_path) as server, watched(f"{server.url}/live.m3u8", stop) as video:
        states: list[str] = []
        left = len(pictures) - 5
        for entry in video.frames(EveryFrame()):
            if isinstance(entry, CameraStatus):
                states.append(entry.state)
            elif left == 0:
                break
            else:
                left -= 1
    return states


def test_a_camera_whose_picture_never_changes_is_frozen_until_it_moves(
    tmp_path: Path, stop: Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    moving = [clips.marker_picture(number, (256, 192)) for number in range(15)]
    pictures = moving + 60 * [moving[-1]] + moving + moving[::-1]
    assert states_of(tmp_path, stop, monkeypatch, pictures, gop=10) == ["open", "frozen", "open"]


@pytest.mark.parametrize("quantizer", [20, 45])
def test_noise_tells_an_unmoved_scene_from_a_frozen_picture(
    tmp_path: Path, stop: Event, monkeypatch: pytest.MonkeyPatch, quantizer: int
) -> None:
    """At 45 the noise is too faint for the encoder: only key frames tell."""
    scene = clips.marker_picture(0, (256, 192)).astype(np.int16)
    chance = np.random.default_rng(7)
    pictures = [np.clip(scene + chance.normal(0, 1, scene.shape), 0, 255).astype(np.uint8) for _ in range(60)]
    states = states_of(tmp_path, stop, monkeypatch, pictures, gop=30, quantizer=quantizer)
    assert states == ["open"]
