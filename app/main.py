"""The application for an ASGI server: `uvicorn app.main:app`; `make run` is that with set-up."""

from .service import create

app = create()
