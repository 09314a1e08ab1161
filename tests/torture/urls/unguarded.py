"""What is taken out of the service, each with a source that then leads somewhere.

Networks and sources are given to `open_video`, so most guards are taken out by giving it others. The rest are
public names of modules, patched here and nowhere else.
"""

from pathlib import Path
from typing import Any

import av
import pytest
from msgspec import Struct

from app import addresses
from app.domain.networks import IpAddress, NetworkKind, Networks
from app.domain.source import Source
from app.video import container as video_container
from app.video import formats
from tests.support.hostile_servers import HERE
from tests.support.interfaces import own_addresses

Patch = pytest.MonkeyPatch


class Attack(Struct, frozen=True):
    """A source to open, and the networks that it may be on."""

    source: str | Source
    networks: Networks = Networks(HERE)


class FirstAddressOnly(Networks):
    """Checks the address that a source names, and none that a redirect leads to."""

    def __init__(self) -> None:
        super().__init__(HERE)
        self._is_checked = False

    def allows(self, address: IpAddress, kind: NetworkKind | None) -> bool:
        if self._is_checked:
            return True
        self._is_checked = True
        return super().allows(address, kind)


def file(address: str) -> Source:
    """Return the source of a file, whose path nothing has checked."""
    return Source("file", address, live=False, redacted=address)


def without_address_check(patch: Patch, site: Any) -> Attack:
    return Attack(site.url, Networks("0.0.0.0/0,::/0"))


def without_the_check_for_this_machine(patch: Patch, site: Any) -> Attack:
    patch.setattr(addresses, "network_kind", lambda _: "private")  # in a sandbox it may be of no kind
    patch.setattr(addresses, "is_own_address", lambda _: False)
    return Attack(f"http://{own_addresses()[0]}:{site.port}/x.mp4", Networks("public,private"))


def without_check_of_redirects(patch: Patch, site: Any) -> Attack:
    return Attack(f"{site.web}/chain/0.mp4", FirstAddressOnly())


def without_the_proxy(patch: Patch, site: Any) -> Attack:
    class Direct:
        fault = None

        def __init__(self, address: str, *_: object) -> None:
            self.url = address

        def close(self) -> None:
            """Nothing is open."""

    patch.setattr(video_container, "RtspProxy", Direct)
    return Attack(f"{site.camera}/r/0")


def without_the_check_of_redirects_in_the_proxy(patch: Patch, site: Any) -> Attack:
    return Attack(f"{site.camera}/r/0", FirstAddressOnly())


def without_tcp_only(patch: Patch, site: Any) -> Attack:
    patch.setattr(formats, "RTSP_OPTIONS", {})
    return Attack(f"{site.camera}/sdp/0")


def with_ffmpegs_own_http(patch: Patch, site: Any) -> Attack:
    opened = av.open

    def own(*arguments: Any, **options: Any) -> Any:
        options["options"] = {"protocol_whitelist": "http,tcp,file"}
        return opened(*arguments, **{**options, "io_open": None})

    patch.setattr(av, "open", own)
    return Attack(f"{site.web}/segment/4.m3u8")


def with_files_in_playlists(patch: Patch, site: Any) -> Attack:
    with_ffmpegs_own_http(patch, site)
    return Attack(f"{site.web}/segment/1.m3u8")


def with_any_format(patch: Patch, site: Any) -> Attack:
    patch.setattr(formats, "FILE_OPTIONS", {"protocol_whitelist": "file"})
    return Attack("list.m3u8")


def without_the_media_root(patch: Patch, site: Any) -> Attack:
    patch.setattr(video_container, "find_file", lambda source, root: root / source.address)
    return Attack("link.ts")


def with_dots(patch: Patch, site: Any) -> Attack:
    patch.setattr(video_container, "find_file", lambda source, root: root / source.address)
    return Attack(file(f"../{site.secret.name}"))


def with_any_scheme(patch: Patch, site: Any) -> Attack:
    class Address(type(Path())):  # type: ignore[misc]
        """What FFmpeg is told to open. A file of another name is looked at before that."""

        def open(self, *arguments: Any, **options: Any) -> Any:
            return (site.media_root / "list.m3u8").open(*arguments, **options)

    patch.setattr(video_container, "find_file", lambda source, _: Address(source.address))
    patch.setattr(formats, "FILE_OPTIONS", {})
    return Attack(file(f"concat:{site.secret}"))


def with_any_filter(patch: Patch, site: Any) -> Attack:
    graph = f"movie={site.secret}"
    return Attack(Source("test", graph, live=False, redacted=graph))


GUARDS = [
    without_address_check, without_the_check_for_this_machine, without_check_of_redirects, without_the_proxy,
    without_the_check_of_redirects_in_the_proxy, without_tcp_only, with_ffmpegs_own_http,
    with_files_in_playlists, with_any_format, without_the_media_root, with_dots, with_any_scheme,
    with_any_filter,
]  # fmt: skip
