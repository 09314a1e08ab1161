"""Complete a source whose login is hidden, as in answers, with that of the scenario that is replaced."""

import msgspec
from asyncpg import Record
from msgspec.structs import replace

from ..domain.source import SourceError, parse_source
from ..domain.stored_spec import summarize_spec
from .http.problems import INVALID, ProblemError, no_scenario
from .http.requests import ApiRequest
from .new_scenario import NewScenario
from .queries.scenarios import find_row

HIDDEN = "***"
REFUSAL = (
    "`source` hides its login (***). Write the user name and the password, or send the source of the scenario"
    " in `replaces` exactly as GET /scenarios/{id} shows it."
)


async def complete_login(request: ApiRequest, new: NewScenario) -> NewScenario:
    """Return the request with the login that its source hides. Raises ProblemError (404, 422)."""
    if HIDDEN not in new.source or not _hides_login(new.source):
        return new
    if new.replaces is not None:
        row = await find_row(request.deps.scenarios, new.replaces)
        if row is None:
            raise no_scenario(new.replaces, field="replaces")
        source = _source_of(row)
        if source is not None and parse_source(source).redacted == new.source:
            return replace(new, source=source)
    raise ProblemError(INVALID, REFUSAL, field="source")


def _hides_login(text: str) -> bool:
    source = parse_source(text)
    return source.kind in ("rtsp", "http") and source.redacted == text


def _source_of(row: Record) -> str | None:
    try:
        text = summarize_spec(row["spec"]).source
        parse_source(text)
    except (SourceError, msgspec.ValidationError):  # of a newer version
        return None
    return text
