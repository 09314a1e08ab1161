"""Live sources, against real servers on loopback."""

import gc
import time
from itertools import islice
from pathlib import Path
from threading import Event, Timer

import pytest
from structlog.testing import capture_logs

from app.domain.sampling import EveryFrame, FixedRate, KeyframesOnly, Sampling
from app.domain.source import parse_source
from app.video import camera as camera_module
from app.video.camera import CameraStatus
from app.video.errors import VideoError
from app.video.reader import ThreadReader
from app.video.reading import ReadRequest, ReadStatus, SampledFrame, Watermark
from tests.support import cameras, clips
from tests.support.ports import free_port
from tests.support.rtsp_server import RtspServer
from tests.support.web_server import web_server
from tests.video.watching import GOP, live_playlist, marker, picture_of, state, take, watched, why


def test_a_camera_that_dies_and_returns_is_reconnected(clip: Path, stop: Event) -> None:
    with cameras.RtspCamera(clip) as camera, watched(camera.url, stop) as video:
        frames = video.frames(EveryFrame())
        first = next(frames)
        assert isinstance(first, CameraStatus)
        assert first.state == "open"
        assert first.media is not None
        assert (first.media.width, first.media.height, first.media.live) == (320, 240, True)
        before = take(frames, 20)
        camera.kill()
        lost = state(frames, "reconnecting")
        assert lost.loss
        again = state(frames, "reconnecting")
        assert again.loss
        assert (lost.loss.tries, again.loss.tries) == (0, 1)
        assert again.lost_at == lost.lost_at
        camera.start()
        assert state(frames, "open").media is not None
        after = take(frames, 20)
    for received in before, after:
        shown = [marker(frame) for frame in received]
        assert shown == list(range(shown[0] or 0, (shown[0] or 0) + 20))
        times = [frame.time for frame in received]
        assert times == sorted(times)
    assert after[0].time > before[-1].time


def test_a_camera_that_falls_silent_is_noticed_within_the_deadline(clip: Path, stop: Event) -> None:
    with cameras.RtspCamera(clip) as camera, watched(camera.url, stop) as video:
        frames = video.frames(EveryFrame())
        take(frames, 5)
        camera.freeze()
        begun = time.monotonic()
        lost = state(frames, "reconnecting")
        assert time.monotonic() - begun < 20
        assert "did not answer in time" in why(lost)
        camera.thaw()
        state(frames, "open")
        take(frames, 5)


def test_a_camera_whose_picture_stops_while_its_sound_goes_on_is_noticed(tmp_path: Path, stop: Event) -> None:
    clip = clips.marker_clip(tmp_path / "small.mp4", frames=20, gop=5, size=(256, 192), bframes=0)
    with cameras.TalkingCamera(clip, frames=20) as camera, watched(camera.url, stop) as video:
        frames = video.frames(EveryFrame())
        take(frames, 10)
        begun = time.monotonic()
        assert "did not answer in time" in why(state(frames, "reconnecting"))
        assert time.monotonic() - begun < 20


@pytest.mark.parametrize("scheme", ["rtsp", "http"])
def test_a_server_that_accepts_and_says_nothing_is_a_fault_within_the_deadline(
    stop: Event, scheme: str
) -> None:
    with cameras.silent_camera(scheme) as url:
        begun = time.monotonic()
        with pytest.raises(VideoError) as caught, watched(url, stop):
            pass
        assert time.monotonic() - begun < 20
    assert caught.value.retryable


def test_a_camera_that_is_off_is_a_fault_worth_repeating(stop: Event) -> None:
    with (
        pytest.raises(VideoError, match="nothing listens there") as caught,
        watched(f"rtsp://admin:s3cret@127.0.0.1:{free_port()}/live", stop),
    ):
        pass
    assert caught.value.retryable
    assert "s3cret" not in str(caught.value)


def test_an_address_unknown_to_the_camera_is_not_worth_repeating(clip: Path, stop: Event) -> None:
    with cameras.RtspCamera(clip) as camera:
        url = camera.url.replace("clip.mp4", "other.mp4")
        with pytest.raises(VideoError, match="does not exist") as caught, watched(url, stop):
            pass
    assert not caught.value.retryable


def test_a_persistent_camera_may_be_off_at_first(clip: Path, stop: Event) -> None:
    camera = cameras.RtspCamera(clip)
    with watched(camera.url, stop, is_persistent=True) as video:
        frames = video.frames(EveryFrame())
        first = next(frames)
        assert isinstance(first, CameraStatus)
        assert first.state == "reconnecting"
        with camera:
            state(frames, "open")
            take(frames, 3)


class _StoppingSink:
    """Stops a reader once it was told of a source `count` times."""

    def __init__(self, count: int) -> None:
        self.capacity = 1
        self.told: list[ReadStatus] = []
        self.reader: ThreadReader | None = None
        self._count = count

    def note(self, status: ReadStatus) -> None:
        self.told.append(status)
        if len(self.told) == self._count and self.reader:
            self.reader.stop()

    def put(self, entry: SampledFrame | Watermark) -> bool:
        raise AssertionError(entry)

    def end(self, status: ReadStatus) -> None:
        assert status.fault is None


def test_a_camera_that_stays_off_is_logged_once() -> None:
    source = parse_source(f"rtsp://127.0.0.1:{free_port()}/live")
    sink = _StoppingSink(3)
    sink.reader = ThreadReader(ReadRequest(source, "/", "loopback", EveryFrame(), is_persistent=True))
    with capture_logs() as logs:
        sink.reader.read(sink)
    assert [status.loss and status.loss.tries for status in sink.told[:3]] == [1, 2, 3]
    (line,) = [entry for entry in logs if entry["event"] == "source"]
    assert "nothing listens there" in line["error"]


def test_a_refused_log_in_is_tried_again_minutes_later(clip: Path, stop: Event) -> None:
    """A camera locks an address out that tries more often."""
    with RtspServer(clip) as server:
        server.challenges, server.interval = ['Digest realm="cam", nonce="n"'], 0.02
        with watched(server.url(login="admin:s3cret@"), stop, is_persistent=True) as video:
            frames = video.frames(EveryFrame())
            take(frames, 3)
            server.password = "changed"  # noqa: S105 - a test's
            server.hang_up()
            state(frames, "reconnecting")
            refused = state(frames, "reconnecting")
            assert refused.loss
            assert refused.loss.tries == 1
            assert "refuses access (401)" in why(refused)
            assert "it is tried again every 5 minutes" in why(refused)
            logins = server.logins
            Timer(1, stop.set).start()
            assert list(frames) == []
            assert server.logins == logins


def test_a_camera_that_opens_and_sends_no_picture_is_a_fault(clip: Path, stop: Event) -> None:
    with web_server(clip.parent) as server:
        server.endless, server.stall_after = True, 0
        clips.marker_clip(clip.parent / "empty.ts", frames=3, size=(256, 192))
        with pytest.raises(VideoError) as caught, watched(f"{server.url}/empty.ts", stop) as video:
            list(video.frames(EveryFrame()))
    assert caught.value.retryable


@pytest.mark.parametrize(
    ("sampling", "said"), [(EveryFrame(), "nothing that can"), (KeyframesOnly(), "no key")]
)
def test_a_camera_that_never_sends_a_key_frame_is_a_fault(
    clip: Path, stop: Event, monkeypatch: pytest.MonkeyPatch, sampling: Sampling, said: str
) -> None:
    monkeypatch.setattr(camera_module, "_FIRST_FRAME_WITHIN", 1.0)
    with RtspServer(clip) as server:
        server.has_key_frames = False
        Timer(20, stop.set).start()
        with pytest.raises(VideoError, match=f"sends {said}"), watched(server.url(), stop) as video:
            list(video.frames(sampling))


def test_a_broadcast_that_is_over_is_not_read_again_from_its_beginning(tmp_path: Path, stop: Event) -> None:
    clips.marker_clip(tmp_path / "one.ts", frames=30, size=(256, 192), gop=15)
    live_playlist(tmp_path, 1)
    with web_server(tmp_path) as server, watched(f"{server.url}/live.m3u8", stop) as video:
        frames = video.frames(EveryFrame())
        take(frames, 20)
        with (tmp_path / "live.m3u8").open("a") as playlist:
            playlist.write("#EXT-X-ENDLIST\n")
        state(frames, "reconnecting")
        lost = next(frames)
    assert isinstance(lost, CameraStatus)
    assert "was live, and is a recording with an end now" in why(lost)


def test_a_camera_with_few_pictures_is_waited_for_longer(clip: Path, stop: Event) -> None:
    """It is lost at first, because nothing tells how many pictures it sends."""
    with RtspServer(clip) as server:
        server.interval, server.speedup = 3.0, 3
        with watched(server.url(), stop) as video:
            Timer(25, stop.set).start()
            entries = list(video.frames(EveryFrame()))
    lost = [isinstance(entry, CameraStatus) and entry.state == "reconnecting" for entry in entries]
    assert sum(lost) <= 2
    assert not any(lost[-3:])


def test_what_an_earlier_run_learned_of_a_camera_with_few_pictures_is_used(clip: Path, stop: Event) -> None:
    with RtspServer(clip) as server:
        server.interval, server.speedup = 3.0, 3
        with watched(server.url(), stop, patience=7.5) as video:
            Timer(10, stop.set).start()
            entries = list(video.frames(EveryFrame()))
    assert not any(isinstance(entry, CameraStatus) and entry.loss for entry in entries)
    assert len(entries) >= 5


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("rtsp://127.0.0.1:PORT/live", "nothing listens there"),
        ("rtsp://169.254.1.1/live", "is not an address that sources may have"),
        ("rtsp://[fe80::1%25lo]/live", "is not an address that sources may have"),
    ],
)
def test_a_source_that_is_waited_for_says_why_it_cannot_be_opened(url: str, said: str, stop: Event) -> None:
    with watched(url.replace("PORT", str(free_port())), stop, is_persistent=True) as video:
        frames = video.frames(EveryFrame())
        for tries in (1, 2):
            lost = state(frames, "reconnecting")
            assert lost.loss
            assert lost.loss.tries == tries
            assert said in lost.loss.error


def test_waiting_to_reconnect_ends_at_once_when_told(stop: Event) -> None:
    url = f"rtsp://127.0.0.1:{free_port()}/live"
    with watched(url, stop, is_persistent=True) as video:
        frames = video.frames(EveryFrame())
        for _ in range(3):
            next(frames)  # the next wait would be of two seconds
        Timer(0.1, stop.set).start()
        begun = time.monotonic()
        assert list(frames) == []
        assert time.monotonic() - begun < 1.9


def test_fps_samples_by_the_time_of_arrival(stop: Event) -> None:
    with watched("test:testsrc2?live=true&size=64x48&rate=30", stop) as video:
        received = take(video.frames(FixedRate(5)), 12)
    sampled = [frame for frame in received if isinstance(frame, SampledFrame)]
    seconds = sampled[-1].time - sampled[0].time  # 2.2, if the machine is not busy
    assert len(sampled) <= 5 * seconds + 2
    assert all(frame.picture is not None for frame in sampled)


def test_keyframes_are_decoded_alone_and_the_rest_is_counted(clip: Path, stop: Event) -> None:
    with cameras.RtspCamera(clip) as camera, watched(camera.url, stop) as video:
        entries = video.frames(KeyframesOnly())
        sampled = list(islice((entry for entry in entries if isinstance(entry, SampledFrame)), 2))
    assert [(frame.frame, marker(frame)) for frame in sampled] == [(0, 0), (GOP, GOP)]


def test_frames_are_numbered_as_they_come_from_the_first_number_on(stop: Event) -> None:
    with watched("test:testsrc2?live=true&size=64x48&rate=30", stop) as video:
        received = take(video.frames(EveryFrame(), first_frame=1000, unix_offset=5e8), 40)
    assert all(isinstance(frame, SampledFrame) and frame.sampled is None for frame in received)
    assert [frame.frame for frame in received if isinstance(frame, SampledFrame)] == list(range(1000, 1040))
    assert all(5e8 < frame.time < 5e8 + time.monotonic() for frame in received)


def test_frames_that_are_not_sampled_are_told_of_once_a_second(stop: Event) -> None:
    with watched("test:testsrc2?live=true&size=64x48&rate=30", stop) as video:
        first, *others = take(video.frames(FixedRate(0.01), first_frame=1000), 3)
    assert isinstance(first, SampledFrame)
    early, late = (entry.end for entry in others if isinstance(entry, Watermark))
    assert first.frame + 1 < early < late
    assert first.time + 1 <= others[0].time <= others[1].time - 1


def test_all_frames_before_a_loss_are_counted(stop: Event, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(camera_module, "_TELL_POSITION_EVERY", 60.0)  # a busy machine needs more than one
    with watched("test:testsrc?live=true&size=64x48&rate=50&duration=0.4", stop) as video:
        entries = video.frames(FixedRate(0.01), first_frame=1000)
        _, first, last, lost = (next(entries) for _ in range(4))
    assert isinstance(first, SampledFrame)
    assert isinstance(last, Watermark)
    assert isinstance(lost, CameraStatus)
    assert (first.frame, last.end, lost.state) == (1000, 1020, "reconnecting")


def test_a_live_test_pattern_keeps_time_and_begins_again(stop: Event) -> None:
    with watched("test:testsrc?live=true&size=64x48&rate=50&duration=0.4", stop) as video:
        frames = video.frames(EveryFrame())
        state(frames, "open")
        received = take(frames, 20)
        assert received[-1].time - received[0].time > 0.3
        state(frames, "reconnecting")
        assert len(take(frames, 20)) == 20


def test_a_camera_that_changes_its_size_goes_on(tmp_path: Path, stop: Event) -> None:
    """As cameras do when someone turns a knob: the same stream, with new parameters in band."""
    small = clips.marker_clip(tmp_path / "a.ts", frames=30, size=(256, 192), gop=15)
    large = clips.marker_clip(tmp_path / "b.ts", frames=30, size=(320, 240), gop=15)
    (tmp_path / "live.ts").write_bytes(small.read_bytes() + large.read_bytes())
    with web_server(tmp_path) as server:
        server.endless = True
        with watched(f"{server.url}/live.ts", stop) as video:
            received = take(video.frames(EveryFrame()), 55)
    sizes = {(picture.width, picture.height) for picture in map(picture_of, received) if picture}
    assert sizes == {(256, 192), (320, 240)}


def test_a_lost_camera_s_decoder_ends_with_it(tmp_path: Path, stop: Event) -> None:
    """Its threads do not wait until garbage is collected."""

    def threads() -> int:
        return len(list(Path("/proc/self/task").iterdir()))

    clips.marker_clip(tmp_path / "live.ts", frames=30, size=(256, 192), gop=15)
    gc.collect()
    gc.disable()
    try:
        with web_server(tmp_path) as server:
            server.endless = True
            with watched(f"{server.url}/live.ts", stop) as video:
                frames = video.frames(EveryFrame())
                take(frames, 20)
                working = threads()
                for _ in range(2):
                    state(frames, "reconnecting")
                take(frames, 20)
                # Python's server has a thread for each connection, until it notices that it has ended.
                assert threads() <= working + 2
    finally:
        gc.enable()
