"""A bare Litestar application that answers with the bytes of the file named by BARE_FILE."""

import os
from pathlib import Path

from litestar import Litestar, get

_BODY = Path(os.environ["BARE_FILE"]).read_bytes()


@get("/", media_type="application/json")
async def body() -> bytes:
    """Return the same bytes each time."""
    return _BODY


app = Litestar([body], openapi_config=None, logging_config=None)
