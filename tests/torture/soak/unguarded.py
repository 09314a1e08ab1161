"""A service that leaks."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from app.service import create
from app.supervision import Asgi
from app.video import open as opening
from app.video.container import OpenContainer, open_container
from tests.torture.guards import replace_name

_open: list[AbstractContextManager[OpenContainer]] = []


@contextmanager
def _never_closed(*arguments: Any, **options: Any) -> Iterator[OpenContainer]:
    context = open_container(*arguments, **options)
    _open.append(context)
    yield context.__enter__()


def unclosed_sources() -> Asgi:
    """Build a service that never closes a source."""
    replace_name(opening, "open_container", _never_closed)
    return create()
