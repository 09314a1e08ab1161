"""The service that a sub-command talks to, and which scenario it means."""

import os
import re
from collections.abc import Callable
from datetime import datetime
from functools import wraps
from itertools import chain, islice
from typing import Concatenate, ParamSpec, TypeVar
from uuid import UUID

import httpx
import rich_click as click

from ..client import BatchStatus, Client, ClientError, ScenarioStatus
from ..client.address import DEFAULT_URL, KEY_VARIABLE, URL_VARIABLE
from .output import CommandError, not_utf_8, not_written
from .wording import name_of

_LISTERS = {"scenarios": "ls", "batches": "batches ls", "models": "models ls", "channels": "channels ls"}
_LISTS = re.compile(rf"GET /({'|'.join(_LISTERS)}) lists")

P = ParamSpec("P")
T = TypeVar("T")

_RETRIES = 2  # a person waits: 1 s at most, if there is no service
_MOST_NAMED = 5  # scenarios of one name that an error lists
_MOST_ALIKE = 1000  # newest scenarios or batches that are looked at for a source


def with_client(function: Callable[Concatenate[Client, P], T]) -> Callable[P, T]:
    """Give a sub-command the option `--url` and a client; what that raises becomes a CommandError."""

    @click.option("--url", metavar="URL", help=f"The service.  [env: {URL_VARIABLE}; default: {DEFAULT_URL}]")
    @wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> T:
        url = kwargs.pop("url")
        try:
            client = Client(str(url) if url else None, retries=_RETRIES)
        except ClientError as error:
            raise CommandError(str(error), 2) from error
        try:
            with client:
                return function(client, *args, **kwargs)
        except ClientError as error:
            raise CommandError(_told(error), 3 if error.status is None else 1) from error
        except UnicodeEncodeError as error:
            raise not_utf_8(error) from error
        except OSError as error:
            if error.filename is None:
                raise not_written(error) from error
            raise CommandError(f"{error.filename}: {error.strerror}.") from error

    return run


def find_scenario(client: Client, named: str) -> ScenarioStatus:
    """Return the scenario of an id or a name, or the only one without a name that has this source.

    Raises ClientError, or CommandError if it is not one.
    """
    _check_given(named, "scenario")
    if _is_id(named):
        try:
            return client.scenarios.get(named)
        except ClientError as error:
            if error.status != httpx.codes.NOT_FOUND or not (found := _named(client, named)):
                raise
    else:
        found = _named(client, named) or _unnamed(client, named)
    return _only(found, named, "scenario", "videoanalysis ls")


def find_batch(client: Client, named: str) -> BatchStatus:
    """Return the batch of an id or a name, or the only one without a name that has these sources.

    Raises ClientError, or CommandError if it is not one.
    """
    _check_given(named, "batch")
    if _is_id(named):
        try:
            return client.batches.get(named)
        except ClientError as error:
            if error.status != httpx.codes.NOT_FOUND or not (found := _batches(client, named)):
                raise
    else:
        found = _batches(client, named)
    return client.batches.get(_only(found, named, "batch", "videoanalysis batches ls").id)


def parse_time(
    _context: click.Context, _parameter: click.Parameter, text: str | None
) -> float | datetime | None:
    """Return the time of an option: seconds, or a date, which is in this machine's zone if it names none."""
    if text is None:
        return None
    try:
        return float(text)
    except ValueError:
        pass
    try:
        return datetime.fromisoformat(text).astimezone()
    except (ValueError, OverflowError) as error:
        raise click.BadParameter(
            "give seconds, or a date such as 2026-01-31T09:30:00 or 2026-01-31T09:30:00Z."
        ) from error


Named = TypeVar("Named", ScenarioStatus, BatchStatus)


def _check_given(named: str, what: str) -> None:
    if not named.strip():
        raise CommandError(f"The name of the {what} is empty: give its name or its id.", 2)


def _named(client: Client, named: str) -> list[ScenarioStatus]:
    return list(islice(client.scenarios.list(name=named, limit=_MOST_NAMED + 1), _MOST_NAMED + 1))


def _batches(client: Client, named: str) -> list[BatchStatus]:
    found = list(islice(client.batches.list(name=named), _MOST_NAMED + 1))
    if not found:
        newest = islice(client.batches.list(), _MOST_ALIKE)
        found = [each for each in newest if not each.name and each.sources == named]
    return found


def _unnamed(client: Client, source: str) -> list[ScenarioStatus]:
    """Return the scenarios without a name for which `ls` shows this, or that have this source."""
    text = None if "://" in source else source  # addresses with a login cannot be searched for
    alike = client.scenarios.list(text=text, limit=_MOST_ALIKE)
    found = chain(client.scenarios.list(source=source), islice(alike, _MOST_ALIKE))
    fitting = (each for each in found if not each.name and source in (each.source, name_of(each)))
    return list(islice({each.id: each for each in fitting}.values(), _MOST_NAMED + 1))


def _only(found: list[Named], named: str, what: str, lister: str) -> Named:
    if len(found) == 1:
        return found[0]
    if not found:
        raise CommandError(f"There is no {what} named {named!r}: {lister} lists all.")
    ids = ", ".join(each.id for each in found[:_MOST_NAMED])
    more = " and more" if len(found) > _MOST_NAMED else ""
    raise CommandError(f"Several have the name {named!r}. Give the id of one: {ids}{more}.")


def _told(error: ClientError) -> str:
    """Return the service's sentence, with what helps users of the command in place of what helps programs."""
    if error.status == httpx.codes.UNAUTHORIZED:
        said = "does not accept that key" if os.environ.get(KEY_VARIABLE) else "needs an API key"
        return f"The service {said}. Set the environment variable {KEY_VARIABLE} to one of its keys."
    if error.status == httpx.codes.FORBIDDEN and "VA_VIEWER_KEYS" in error.detail:
        return f"The key in {KEY_VARIABLE} may only look. Set it to one of the service's VA_API_KEYS."
    return _LISTS.sub(lambda found: f"videoanalysis {_LISTERS[found[1]]} lists", error.detail)


def _is_id(text: str) -> bool:
    try:
        UUID(text)
    except ValueError:
        return False
    return True
