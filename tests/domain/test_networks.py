"""Which addresses a source may have, however they are written."""

import socket
import time
from collections.abc import Iterator
from ipaddress import ip_address
from typing import Any

import pytest

from app.domain.networks import ForbiddenAddressError, Networks

DEFAULT = Networks("public,private")


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server


def answers(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> list[str]:
    """Make every name have these addresses; the list fills with what was asked for."""
    asked: list[str] = []

    def getaddrinfo(host: str, port: int, **_: Any) -> list[tuple[Any, ...]]:
        asked.append(host)
        return [
            (socket.AF_INET6 if ":" in address else socket.AF_INET, 0, 0, "", (address, port))
            for address in addresses
        ]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return asked


@pytest.mark.parametrize(
    "address",
    [
        "10.0.0.7", "172.16.3.4", "192.168.1.20", "100.64.1.1", "fd12::7", "8.8.8.8", "2606:4700::1111",
        "::ffff:192.168.1.20", "64:ff9b::808:808", "2002:808:808::",
    ],
)  # fmt: skip
def test_cameras_at_home_and_on_the_internet_may_be_reached(address: str) -> None:
    assert ip_address(address) in DEFAULT


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::",
        "::127.0.0.1", "0.1.2.3", "::", "169.254.169.254", "fe80::1", "fe80::1%1", "::ffff:169.254.169.254",
        "fec0::1", "224.0.0.1", "ff02::1", "255.255.255.255", "240.0.0.1", "192.0.2.1", "198.18.0.1",
        "2001:db8::1", "100.100.100.200", "168.63.129.16", "192.0.0.192", "fd00:ec2::254", "2001:0:a00:1::1",
    ],
)  # fmt: skip
def test_this_machine_metadata_and_what_is_no_single_machine_may_not(address: str) -> None:
    assert ip_address(address) not in DEFAULT


def test_what_is_listed_may_be_reached_and_nothing_else() -> None:
    cameras = Networks("192.168.7.0/24, 169.254.10.3 ,fd00:7::/64")
    for address in ("192.168.7.9", "::ffff:192.168.7.9", "169.254.10.3", "fd00:7::9"):
        assert ip_address(address) in cameras
    for address in ("192.168.8.9", "169.254.169.254", "8.8.8.8", "127.0.0.1", "fd00:8::9"):
        assert ip_address(address) not in cameras
    assert ip_address("::1") in Networks("loopback")
    assert ip_address("8.8.8.8") not in Networks("")
    assert Networks("192.168.7.9/24") == Networks("192.168.7.0/24")
    with pytest.raises(ValueError, match="garden"):
        Networks("public,garden")


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "127.1", "0177.0.0.1", "0x7f.0.0.1", "0x7f000001", "2130706433", "localhost", "①②⑦.1"],
)
def test_every_spelling_of_this_machine_is_refused_and_says_what_to_do(
    listener: socket.socket, host: str
) -> None:
    with pytest.raises(ForbiddenAddressError, match=r"add loopback to VA_SOURCE_NETWORKS"):
        DEFAULT.connect(host, listener.getsockname()[1], 1)
    with Networks("loopback").connect(host, listener.getsockname()[1], 1) as connection:
        assert connection.getpeername() == listener.getsockname()


@pytest.mark.parametrize("host", ["a" * 70, "a..b", "\udcff", "", "nowhere.invalid"])
def test_what_is_no_host_is_an_error_like_others(host: str) -> None:
    with pytest.raises(OSError, match=r".") as caught:
        DEFAULT.connect(host, 80, 1)
    assert not isinstance(caught.value, ConnectionRefusedError)


def test_a_name_is_asked_for_once_and_connected_to_where_it_was_checked(
    listener: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = answers(monkeypatch, "127.0.0.1")
    with Networks("loopback").connect("camera.example", listener.getsockname()[1], 1):
        assert asked == ["camera.example"]


def test_of_a_name_with_many_addresses_only_the_allowed_are_tried(
    listener: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = listener.getsockname()[1]
    answers(monkeypatch, "127.0.0.2", "127.0.0.1")
    with Networks("127.0.0.1").connect("camera.example", port, 1) as connection:
        assert connection.getpeername()[0] == "127.0.0.1"
    answers(monkeypatch, "169.254.169.254", "::1")
    with pytest.raises(ForbiddenAddressError):
        DEFAULT.connect("camera.example", port, 1)


def test_a_dead_address_leaves_time_for_the_others(
    listener: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.9", 0), backlog=0) as full:
        port = full.getsockname()[1]
        with socket.create_server(("127.0.0.1", port)):
            waiting = [socket.socket() for _ in range(3)]  # fill the queue of those who wait
            for connection in waiting:
                connection.setblocking(False)
                connection.connect_ex(("127.0.0.9", port))
            answers(monkeypatch, "127.0.0.9", "127.0.0.1")
            begun = time.monotonic()
            with Networks("loopback").connect("camera.example", port, 1) as connection:
                assert connection.getpeername()[0] == "127.0.0.1"
            assert time.monotonic() - begun < 1
            for connection in waiting:
                connection.close()
