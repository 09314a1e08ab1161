"""Hostile sources, some 600 of them: no file outside the media root is opened, nobody inside is called.

The verifiers are independent of the service: the kernel tells which canary files were opened, by any library,
and a canary listens on every address of this machine by TCP and UDP. Sources may be on 127.0.0.1 alone. The
last tests take each guard out in turn, and see the canaries notice.
"""

import select
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from typing import Any
from urllib.parse import urlsplit

import pytest

from app.domain.networks import Networks
from app.domain.sampling import EveryFrame
from app.domain.source import SourceError, parse_source
from app.video.camera import Camera, CameraStatus
from app.video.errors import VideoError
from app.video.open import open_video
from app.video.reading import SampledFrame
from app.video.transport import connecting
from tests.support import clips
from tests.support.hostile_servers import HERE, INSIDE, hostile_camera, hostile_web, to
from tests.support.interfaces import own_addresses
from tests.torture.battery import Battery
from tests.torture.urls.canaries import Canary, WatchedFiles
from tests.torture.urls.sources import NAMES, World, paths
from tests.torture.urls.unguarded import GUARDS, Attack

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs Linux: 127.0.0.2, and inotify")

ROW = 9
_resolve = socket.getaddrinfo


class AttackSite(World, frozen=True):
    """A world with its servers, canaries and media root."""

    canary: Canary
    files: WatchedFiles
    media_root: Path
    web: str
    camera: str

    def is_untouched(self) -> bool:
        """Whether no canary noticed anything."""
        return not self.canary.hits and not self.files.opened

    def every_source(self) -> list[str]:
        """All there are."""
        return [
            *self.texts(),
            *(url for scheme in ("http", "https", "rtsp", "rtsps") for url in self.spellings(scheme)),
            *(self.web + path for path in self.pages() if not path.startswith("/fine")),
            *(self.camera + path for path in paths(self.script())),
        ]


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[AttackSite]:
    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    secret = clips.marker_clip(tmp_path / "secret.ts", frames=10, size=(256, 192))
    fine = clips.marker_clip(tmp_path / "fine.ts", frames=10, size=(256, 192))
    root = tmp_path / "media"
    root.mkdir()
    with Canary() as canary, WatchedFiles([secret]) as files:
        world = World(canary.port, secret, fine.read_bytes())
        world.fill(root)
        with hostile_web(world.pages()) as web, hostile_camera(world.script()) as camera:
            yield AttackSite(world.port, secret, world.fine, canary, files, root, web, camera)


def resolve(host: str, port: int, *_: Any, **__: Any) -> list[tuple[Any, ...]]:
    """As the system would, but that some names are the attacker's, and no other name is known."""
    if host not in NAMES:
        return _resolve(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    return [found for address in NAMES[host] for found in resolve(address, port)]


def follow(site: AttackSite, attack: Attack, timeout: float = 1) -> str:
    """Open a source as a run does, and read all of it. Returns how that ended.

    Opening it, and each read, may take `timeout` seconds.
    """
    stop = Event()
    try:
        source = parse_source(attack.source) if isinstance(attack.source, str) else attack.source
        with open_video(
            source,
            site.media_root,
            attack.networks,
            stop=stop,
            open_timeout=timeout,
            read_timeout=timeout,
        ) as video:
            if isinstance(video, Camera):
                for entry in video.frames(EveryFrame()):
                    if isinstance(entry, CameraStatus) and entry.state == "reconnecting":
                        return entry.loss.error if entry.loss else ""
            else:
                frames = [
                    entry for entry in video.frames(EveryFrame(), "all") if isinstance(entry, SampledFrame)
                ]
                return f"{len(frames)} frames"
    except (SourceError, VideoError) as error:
        return str(error)
    raise AssertionError("a camera ended")


@pytest.mark.timeout(300)
def test_no_hostile_source_gets_anywhere(site: AttackSite, battery: Battery) -> None:
    every = site.every_source()
    assert len(every) > 550
    for text in every:
        said = follow(site, Attack(text))
        assert site.is_untouched(), f"{text!r}: {said}; {site.canary.hits} {site.files.opened}"
        # FFmpeg itself leaves out what it knows no protocol for, and reads the rest of such a playlist.
        # Other renditions, such as sound, are left out of every playlist.
        assert "frames" not in said or "/later/" in text or "/sound/" in text, f"{text!r}: {said}"
    lost = f"{len(site.files.opened)} canaries read, {len(site.canary.hits)} internal hits"
    battery.passed(ROW, "hostile sources", f"{len(every)} sources", lost)


@pytest.mark.parametrize("scheme", ["http", "rtsp"])
def test_no_address_of_this_machine_is_reached(site: AttackSite, battery: Battery, scheme: str) -> None:
    addresses = own_addresses()
    for address in addresses:
        attack = Attack(f"{scheme}://{address}:{site.port}/x.mp4", Networks("public,private"))
        assert "not an address that sources may have: add loopback" in follow(site, attack)
        assert site.is_untouched()
    sources = f"{len(addresses)} sources"
    battery.passed(ROW, f"this machine's other addresses ({scheme})", sources, "0 internal hits")


@pytest.mark.parametrize("scheme", ["http", "rtsp"])
def test_a_name_that_changes_its_address_leads_nowhere(
    site: AttackSite, monkeypatch: pytest.MonkeyPatch, battery: Battery, scheme: str
) -> None:
    with rebinding(site, monkeypatch, scheme) as (url, called):
        assert "127.0.0.2 is not an address that sources may have" in follow(site, Attack(url))
        assert not called()
    battery.passed(ROW, f"a name that changes its address ({scheme})", "1 source", "0 internal hits")


@contextmanager
def rebinding(
    site: AttackSite, monkeypatch: pytest.MonkeyPatch, scheme: str
) -> Iterator[tuple[str, Callable[[], bool]]]:
    """A URL whose host is HERE when first asked for and INSIDE from then on; and was INSIDE called?"""
    answers = [[HERE], [INSIDE]]

    def changing(host: str, port: int, *_: Any, **__: Any) -> list[tuple[Any, ...]]:
        if host == "changing.example":
            NAMES[host] = answers.pop(0) if len(answers) > 1 else answers[0]
        return resolve(host, port)

    monkeypatch.setattr(socket, "getaddrinfo", changing)
    monkeypatch.setitem(NAMES, "changing.example", [])
    script: dict[str, bytes] = {}
    pages: dict[str, bytes] = {}
    with hostile_web(pages) as web, hostile_camera(script) as camera:
        server = urlsplit(web if scheme == "http" else camera)
        url = f"{scheme}://changing.example:{server.port}"
        pages["/again"] = to(f"{url}/fine.ts")
        script["OPTIONS"] = f"RTSP/1.0 302 Moved\r\nCSEQ\r\nLocation: {url}/live\r\n\r\n".encode()
        with socket.create_server((INSIDE, server.port or 0)) as inside:
            inside.setblocking(False)
            yield f"{url}/again", lambda: bool(select.select([inside], [], [], 0)[0])


@pytest.mark.parametrize("without", GUARDS)
def test_a_guard_that_is_taken_out_is_missed(
    site: AttackSite, battery: Battery, without: Callable[[pytest.MonkeyPatch, AttackSite], Attack]
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        attack = without(patch, site)
        said = follow(site, attack, timeout=10)
        assert not site.is_untouched(), f"{attack}: {said}"
    read, hits = len(site.files.opened), len(site.canary.hits)
    guard = without.__name__.replace("_", " ").removeprefix("without ").replace("with ", "refusing ")
    battery.unguarded(ROW, guard, "1 source", f"canaries read {read} times, {hits} internal hits")


@pytest.mark.parametrize("scheme", ["http", "rtsp"])
def test_asking_for_a_name_twice_would_be_noticed(
    site: AttackSite, monkeypatch: pytest.MonkeyPatch, battery: Battery, scheme: str
) -> None:
    def twice(networks: Networks, host: str, port: int, timeout: float) -> socket.socket:
        assert connecting.resolve(networks, host, port)
        return socket.create_connection((host, port), timeout)

    with rebinding(site, monkeypatch, scheme) as (url, called):
        monkeypatch.setattr(connecting, "connect", twice)
        follow(site, Attack(url))
        assert called()
    battery.unguarded(ROW, f"asking for a name only once ({scheme})", "1 source", "1 internal hit")
