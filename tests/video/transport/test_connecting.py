"""Connecting to hosts: names are resolved once, and only allowed addresses are contacted."""

import socket
from collections.abc import Iterator
from ipaddress import ip_address
from typing import Any

import pytest

from app.addresses import is_own_address
from app.domain.networks import Networks
from app.video.errors import ForbiddenAddressError
from app.video.transport.connecting import connect, resolve
from tests.support.interfaces import own_addresses

DEFAULT = Networks("public,private")


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server


def resolve_to(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> list[str]:
    """Resolve every host name to these addresses; return the list that each resolved name is added to."""
    resolved: list[str] = []

    def getaddrinfo(host: str, port: int, **_: Any) -> list[tuple[Any, ...]]:
        resolved.append(host)
        return [
            (socket.AF_INET6 if ":" in address else socket.AF_INET, 0, 0, "", (address, port))
            for address in addresses
        ]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return resolved


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "127.1", "0177.0.0.1", "0x7f.0.0.1", "0x7f000001", "2130706433", "localhost", "①②⑦.1"],
)
def test_every_spelling_of_loopback_is_rejected_with_what_to_do(listener: socket.socket, host: str) -> None:
    with pytest.raises(ForbiddenAddressError, match=r"add loopback to VA_SOURCE_NETWORKS"):
        connect(DEFAULT, host, listener.getsockname()[1], 1)
    with connect(Networks("loopback"), host, listener.getsockname()[1], 1) as connection:
        assert connection.getpeername() == listener.getsockname()


def test_every_address_of_this_machine_counts_as_loopback() -> None:
    own = own_addresses()[0]
    with socket.create_server((own, 0)) as server:
        port = server.getsockname()[1]
        for host in (own, f"::ffff:{own}"):
            with pytest.raises(ForbiddenAddressError, match=r"add loopback to VA_SOURCE_NETWORKS"):
                connect(DEFAULT, host, port, 1)
        for networks in ("loopback", own, f"{own}/16"):
            with connect(Networks(networks), own, port, 1) as connection:
                assert connection.getpeername() == (own, port)


def test_where_every_address_can_be_bound_only_this_machine_s_are_its_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As on Linux with net.ipv4.ip_nonlocal_bind=1."""
    own = ip_address(own_addresses()[0])
    assert is_own_address(own)
    assert not is_own_address(ip_address("8.8.8.8"))
    monkeypatch.setattr("app.addresses._can_bind", lambda _: True)
    assert is_own_address(own)
    assert not is_own_address(ip_address("8.8.8.8"))


@pytest.mark.parametrize(
    "address", ["fd00:ec2::23", "fd00:ec2:0:1::254", "fd00:a9fe:a9fe::254", "168.63.129.16"]
)
def test_metadata_services_are_of_no_kind(address: str) -> None:
    assert ip_address(address) not in Networks("public,private,loopback")
    assert ip_address("fd00:ec3::1") in Networks("private")


@pytest.mark.parametrize("host", ["a" * 70, "a..b", "\udcff", "", "nowhere.invalid"])
def test_an_invalid_host_name_is_an_os_error(host: str) -> None:
    with pytest.raises(OSError, match=r".") as caught:
        connect(DEFAULT, host, 80, 1)
    assert not isinstance(caught.value, ConnectionRefusedError)


def test_a_host_name_is_resolved_once_and_the_checked_address_is_used(
    listener: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolved = resolve_to(monkeypatch, "127.0.0.1")
    with connect(Networks("loopback"), "camera.example", listener.getsockname()[1], 1):
        assert resolved == ["camera.example"]


def test_only_the_allowed_addresses_of_a_host_are_tried(
    listener: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = listener.getsockname()[1]
    resolve_to(monkeypatch, "127.0.0.2", "127.0.0.1")
    with connect(Networks("127.0.0.1"), "camera.example", port, 1) as connection:
        assert connection.getpeername()[0] == "127.0.0.1"
    resolve_to(monkeypatch, "169.254.169.254", "::1")
    with pytest.raises(ForbiddenAddressError):
        connect(DEFAULT, "camera.example", port, 1)


@pytest.mark.parametrize("host", ["fe80::1%25lo", "fe80::1%lo"])
def test_an_address_of_one_link_has_a_zone(host: str) -> None:
    ((_, address),) = resolve(Networks("fe80::/10"), host, 554)
    assert address == ("fe80::1", 554, 0, socket.if_nametoindex("lo"))


def test_an_address_that_does_not_answer_leaves_time_for_the_others(
    listener: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.9", 0), backlog=0) as full:
        port = full.getsockname()[1]
        with socket.create_server(("127.0.0.1", port)):
            waiting = [socket.socket() for _ in range(3)]  # fill the backlog
            for connection in waiting:
                connection.setblocking(False)
                connection.connect_ex(("127.0.0.9", port))
            resolve_to(monkeypatch, "127.0.0.9", "127.0.0.1")
            with connect(Networks("loopback"), "camera.example", port, 2) as connection:
                assert connection.getpeername()[0] == "127.0.0.1"
            for connection in waiting:
                connection.close()
