"""Structured logs: one line per event, as text or JSON, for this service and its libraries."""

import json
import logging
import re
import sys
from collections.abc import Iterable
from functools import partial
from typing import Any, Literal
from urllib.parse import quote, unquote

import structlog

from .domain.redaction import redact

_SHORTEST = 6  # characters; shorter secrets are not masked, because they may be part of any word


def configure(form: Literal["text", "json"], level: str, secrets: Iterable[str] = ()) -> None:
    """Write the records of structlog, the standard library and uvicorn to standard error.

    In every line, `secrets` and the credentials in addresses are replaced by `***`.
    """
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    if form == "json":
        render: list[structlog.typing.Processor] = [
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(default=str),
        ]
    else:
        render = [
            structlog.dev.ConsoleRenderer(
                colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
            )
        ]
    redactor = _Redactor(secrets)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *render, redactor],
        )
    )
    # Lines of this service do not become records first, which takes twice the time of a line (measured).
    structlog.configure(
        processors=[*shared, _Renderer(render, redactor)],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=partial(_LineLogger, handler),
        cache_logger_on_first_use=True,
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level.upper())
    for name in ("uvicorn", "uvicorn.error"):
        logging.getLogger(name).handlers = []
        logging.getLogger(name).propagate = True
    if root.isEnabledFor(logging.DEBUG):
        # At this level it logs every request to Kafka completely, including camera passwords.
        logging.getLogger("aiokafka.conn").setLevel(logging.INFO)
    else:
        # At this level it logs each picture that a server is asked about, and each message to a receiver.
        logging.getLogger("httpx").setLevel(logging.WARNING)
    logging.getLogger("uvicorn.access").disabled = True  # the API logs requests itself


class _Renderer:
    """Makes a line of an event. What cannot be rendered must not stop the code that logs it."""

    def __init__(self, processors: Iterable[structlog.typing.Processor], redactor: "_Redactor") -> None:
        self._processors = tuple(processors)
        self._redactor = redactor

    def __call__(self, logger: Any, method: str, event: structlog.typing.EventDict) -> str:
        text, line = event.get("event"), event
        try:
            for process in self._processors:
                line = process(logger, method, line)  # type: ignore[assignment]
        except Exception as error:
            line = f"{text} [its values cannot be shown: {type(error).__name__}]"  # type: ignore[assignment]
        return self._redactor(logger, method, line)


class _LineLogger:
    """Writes finished lines, between those of other libraries, which `handler` writes."""

    def __init__(self, handler: "logging.StreamHandler[Any]", name: str = "") -> None:
        self.name = name
        self._handler = handler

    def _write(self, line: str) -> None:
        handler = self._handler
        handler.acquire()
        try:
            handler.stream.write(line + handler.terminator)
            handler.flush()
        except (OSError, ValueError):  # whoever read it is gone
            pass
        finally:
            handler.release()

    debug = info = warning = error = critical = _write


class _Redactor:
    """Masks secrets in finished lines, because errors of libraries quote addresses and passwords."""

    def __init__(self, secrets: Iterable[str]) -> None:
        spellings = {spelling for secret in secrets for spelling in (secret, unquote(secret))}
        longest_first = sorted((s for s in spellings if len(s) >= _SHORTEST), key=len, reverse=True)
        self._secret = re.compile("|".join(map(_pattern, longest_first))) if longest_first else None

    def __call__(self, _logger: Any, _method: str, line: Any) -> str:
        text = redact(str(line))
        return text if self._secret is None else self._secret.sub("***", text)


def _pattern(secret: str) -> str:
    """Return a pattern for the secret, also if it is quoted for a URL, JSON or Python, or nested."""
    return "".join(_character(character) for character in secret)


def _character(character: str) -> str:
    spellings = {character, quote(character, safe=""), json.dumps(character)[1:-1]}
    return rf"\\*(?:{'|'.join(map(re.escape, spellings))})"
