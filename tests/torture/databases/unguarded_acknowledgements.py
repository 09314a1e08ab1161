"""The service, whose runs take a batch for stored though its acknowledgement was lost, and go on."""

import inspect

from app.postgres import TRANSIENT
from app.predictions.checkpoint import Batch
from app.runner import checkpoints as store
from app.runner.fenced_store import FencedStore

_guarded = inspect.getsource(store.write)
_anywhere = _guarded.replace("AND next_frame = $4", "AND next_frame <= $4")
assert _anywhere != _guarded
exec(_anywhere, vars(store))  # noqa: S102 - the same function, but for that


async def _store(self: FencedStore, batch: Batch) -> bool:
    try:
        async with self._database.connection() as connection:
            await store.write(connection, self._fence, batch)
    except TRANSIENT:
        pass
    return True


setattr(FencedStore, "_try_to_store", _store)  # noqa: B010

from app.main import app  # noqa: E402 - the guard is out before it starts

__all__ = ["app"]
