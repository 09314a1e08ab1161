"""The application for an ASGI server: `uvicorn app.main:app`; `make run` is `videoanalysis run`."""

from .service import create

app = create()
