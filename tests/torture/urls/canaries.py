"""Canaries: a port and files that must never be used, and that notice if they are."""

import ctypes
import os
import socket
import struct
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Self

_IN_OPEN = 0x20


class Canary:
    """Listens on every address of this machine by TCP and UDP; `hits` tells of everybody who came."""

    def __init__(self) -> None:
        both = socket.has_dualstack_ipv6()
        family = socket.AF_INET6 if both else socket.AF_INET
        self._tcp = socket.create_server(("", 0), family=family, dualstack_ipv6=both)
        self.port: int = self._tcp.getsockname()[1]
        self._udp = socket.socket(family, socket.SOCK_DGRAM)
        if both:
            self._udp.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        self._udp.bind(("", self.port))
        self._hits: list[str] = []

    @property
    def hits(self) -> list[str]:
        """Who came so far."""
        self._tcp.settimeout(0)
        with suppress(BlockingIOError):
            while True:
                connection, address = self._tcp.accept()
                connection.close()
                self._hits.append(f"tcp from {address[:2]}")
        self._udp.settimeout(0)
        with suppress(BlockingIOError):
            while True:
                data, address = self._udp.recvfrom(2048)
                self._hits.append(f"udp from {address[:2]}: {data[:40]!r}")
        return self._hits

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._tcp.close()
        self._udp.close()


class WatchedFiles:
    """Notices every opening of some files, by any library: `opened` tells which."""

    def __init__(self, paths: Iterable[Path]) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._inotify: int = self._libc.inotify_init1(os.O_NONBLOCK)
        assert self._inotify >= 0, os.strerror(ctypes.get_errno())
        self._paths = {
            self._libc.inotify_add_watch(self._inotify, os.fsencode(path), _IN_OPEN): path for path in paths
        }
        self._opened: list[Path] = []

    @property
    def opened(self) -> list[Path]:
        """What was opened so far."""
        with suppress(BlockingIOError):
            while True:
                events = os.read(self._inotify, 65536)
                while events:
                    watch, _, _, length = struct.unpack_from("iIII", events)
                    self._opened.append(self._paths[watch])
                    events = events[16 + length :]
        return self._opened

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._inotify)
