"""The service that a sub-command talks to, and which scenario it means."""

from collections.abc import Callable
from datetime import datetime
from functools import wraps
from itertools import islice
from typing import Concatenate, ParamSpec, TypeVar
from uuid import UUID

import rich_click as click

from ..client import BatchStatus, Client, ClientError, ScenarioStatus
from ..client.address import DEFAULT_URL, URL_VARIABLE
from .output import CommandError, not_utf_8, not_written

P = ParamSpec("P")
T = TypeVar("T")

_RETRIES = 2  # a person waits: 1 s at most, if there is no service
_MOST_NAMED = 5  # scenarios of one name that an error lists


def with_client(function: Callable[Concatenate[Client, P], T]) -> Callable[P, T]:
    """Give a sub-command the option `--url` and a client; what that raises becomes a CommandError."""

    @click.option("--url", metavar="URL", help=f"The service.  [env: {URL_VARIABLE}; default: {DEFAULT_URL}]")
    @wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> T:
        url = kwargs.pop("url")
        try:
            client = Client(str(url) if url else None, retries=_RETRIES)
        except ValueError as error:
            raise CommandError(str(error), 2) from error
        try:
            with client:
                return function(client, *args, **kwargs)
        except ClientError as error:
            raise CommandError(str(error), 3 if error.status is None else 1) from error
        except UnicodeEncodeError as error:
            raise not_utf_8(error) from error
        except OSError as error:
            if error.filename is None:
                raise not_written(error) from error
            raise CommandError(f"{error.filename}: {error.strerror}.") from error

    return run


def find_scenario(client: Client, named: str) -> ScenarioStatus:
    """Return the scenario of an id or a name. Raises ClientError, or CommandError if it is not one."""
    if _is_id(named):
        return client.scenarios.get(named)
    found = list(islice(client.scenarios.list(name=named, limit=_MOST_NAMED + 1), _MOST_NAMED + 1))
    return _only(found, named, "scenario", "videoanalysis ls")


def find_batch(client: Client, named: str) -> BatchStatus:
    """Return the batch of an id or a name. Raises ClientError, or CommandError if it is not one."""
    if _is_id(named):
        return client.batches.get(named)
    listed = list(islice(client.batches.list(name=named), _MOST_NAMED + 1))
    return client.batches.get(_only(listed, named, "batch", "videoanalysis batches ls").id)


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
            "give seconds, or a date such as 2026-01-31T09:30:00 or 2026-01-31T09:30:00Z"
        ) from error


Named = TypeVar("Named", ScenarioStatus, BatchStatus)


def _only(found: list[Named], named: str, what: str, lister: str) -> Named:
    if len(found) == 1:
        return found[0]
    if not found:
        raise CommandError(f"There is no {what} named {named!r}: {lister} lists all.")
    ids = ", ".join(each.id for each in found[:_MOST_NAMED])
    more = " and more" if len(found) > _MOST_NAMED else ""
    raise CommandError(f"Several have the name {named!r}. Give the id of one: {ids}{more}.")


def _is_id(text: str) -> bool:
    try:
        UUID(text)
    except ValueError:
        return False
    return True
