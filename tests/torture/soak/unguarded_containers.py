"""The service, with sources that are never closed."""

from contextlib import ExitStack
from types import TracebackType

from app.video import container as video_container


class _NeverClosed(ExitStack):
    """Keeps what was to be closed."""

    kept: list[ExitStack] = []  # noqa: RUF012 - for the whole process

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.kept.append(self.pop_all())


vars(video_container)["ExitStack"] = _NeverClosed

from app.main import app  # noqa: E402 - the guard is out before it starts

__all__ = ["app"]
