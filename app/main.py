"""The application for an ASGI server: `uvicorn app.main:app`; `make run` is `videoanalysis run`."""

import gc

gc.disable()  # what is imported stays: to look for garbage in it took 8 % of the CPU time of the import

from .service import create  # noqa: E402

gc.enable()

app = create()
