"""Structured logs: one line per event, as text or JSON, for this service and its libraries."""

import json
import logging
import re
import sys
from collections.abc import Iterable
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
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                *render,
                _Redactor(secrets),
            ],
        )
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
