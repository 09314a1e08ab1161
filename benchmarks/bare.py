"""A bare Litestar application, which answers with the bytes of the file that BARE_FILE names."""

import os
from pathlib import Path

from litestar import Litestar, get

_BODY = Path(os.environ["BARE_FILE"]).read_bytes()


@get("/", media_type="application/json")
async def body() -> bytes:
    """The same bytes each time."""
    return _BODY


app = Litestar([body], openapi_config=None, logging_config=None)
