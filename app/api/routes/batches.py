"""Create, read, change, stop, start and delete batches."""

from contextlib import suppress
from hashlib import sha256
from typing import Annotated, Any
from uuid import UUID, uuid4, uuid5

from anyio import CancelScope, current_time
from litestar import Response, delete, get, patch, post
from litestar.params import FromPath
from msgspec import UNSET, Meta, Struct, UnsetType

from ...domain.batch import BatchState, encode_batch
from ...domain.tags import Tags, distinct
from ...messages import BatchCommand, CreateBatch, DeleteBatch, StartBatch, StopBatch, UpdateBatch
from ...postgres import TRANSIENT
from .. import examples
from ..commands import Accepted, send_command
from ..http.cursors import make_cursor, read_cursor
from ..http.openapi import OperationDoc, ResponseDoc
from ..http.problems import (
    BAD_CURSOR,
    BATCH_CONFLICT,
    INVALID,
    JSON_BODY,
    MISMATCH,
    NOT_FOUND,
    UNAVAILABLE,
    ProblemError,
    no_batch,
)
from ..http.requests import ApiRequest
from ..new_batch import AtOnce, BatchName, NewBatch
from ..new_scenario import IdempotencyKey, check_tags, choose_id
from ..queries import batches as queries
from ..queries.batches import BatchDetail, BatchFilter, BatchPage, BatchPosition

_ANSWER_TIMEOUT = 1.5  # seconds for a command and a query of what it did
_ID_DELETED = "This id belonged to a deleted batch: choose another."
_ACCEPTED = "Accepted. GET the batch to see when it is done."
_DELETING = "Its scenarios are deleted one after the other, and then the batch is. GET the batch to see it."
_LOCATION_DOC = {"Location": "The path of the batch."}
_ACCEPTED_DOC = ResponseDoc(
    "The command is safe, but was not handled, or its effect could not be read, within a short time. GET the"
    " batch to see it.",
    Accepted,
    Accepted(examples.BATCH.id, _ACCEPTED),
    headers=_LOCATION_DOC,
)


class BatchQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """The parameters of GET /batches."""

    state: Annotated[BatchState | None, Meta(description="only batches in this state")] = None
    name: Annotated[str | None, Meta(description="only batches with exactly this name")] = None
    tag: Annotated[str | None, Meta(description="only batches that have this tag")] = None
    limit: Annotated[int, Meta(ge=1, le=100, description="the largest number of items in a page")] = 20
    cursor: Annotated[str | None, Meta(description="`next_cursor` of the previous page")] = None


@post(
    "/batches",
    doc=OperationDoc(
        id="createBatch",
        tag="batches",
        summary="Analyse the recordings of a folder",
        description=(
            "Each file that matches `sources` becomes a scenario, once it has stopped growing. A repeated"
            " request with the same `Idempotency-Key` or `id` and the same body creates nothing more. `name`,"
            " `tags`, `watch` and `at_once` are not compared: they can be changed."
        ),
        headers={"Idempotency-Key": IdempotencyKey},
        body=NewBatch,
        body_examples=examples.NEW_BATCHES,
        responses={
            201: ResponseDoc(
                "Created, by this request or an earlier equal one.",
                BatchDetail,
                examples.BATCH,
                headers=_LOCATION_DOC,
            ),
            202: _ACCEPTED_DOC,
        },
        problems=JSON_BODY
        | {
            BATCH_CONFLICT: _ID_DELETED,
            INVALID: "`scenario.sampling.fps` must be a number greater than 0.",
            MISMATCH: "This id belongs to a batch with another specification: choose another.",
            UNAVAILABLE: "The command may not have been received. Repeat the request unchanged: at most one"
            " batch is created.",
        },
    ),
)
async def create_batch(request: ApiRequest) -> Response[BatchDetail] | Response[Accepted]:
    """Return 201 with the batch, or 202 if it cannot be read in time."""
    new = await request.content(NewBatch)
    spec, needs = new.check(request.options.channels)
    key = request.headers.get("idempotency-key")
    batch_id = choose_id(request.auth, key, new.id)
    encoded = encode_batch(spec)
    is_repeatable = key is not None or new.id is not None
    how = "unchanged" if is_repeatable else f'with "id": "{batch_id}" in its body'
    batch = await _send_and_read(
        request,
        CreateBatch(
            # The same request is the same command; the same id with another body is another command.
            uuid5(batch_id, sha256(encoded).hexdigest()),
            batch_id,
            encoded,
            needs,
            new.name,
            distinct(new.tags),
            new.watch,
            new.at_once,
        ),
        repeat=f"Repeat the request {how}: at most one batch is created.",
        missing=ProblemError(BATCH_CONFLICT, _ID_DELETED),
    )
    if batch is None:
        return _accepted(request, batch_id, _ACCEPTED)
    return Response(batch, status_code=201, headers=_location(request, batch_id))


@get(
    "/batches",
    doc=OperationDoc(
        id="listBatches",
        tag="batches",
        summary="List batches, newest first",
        query=BatchQuery,
        responses={200: ResponseDoc("A page of batches.", BatchPage, examples.BATCH_PAGE)},
        problems={BAD_CURSOR: "Send `cursor` exactly as `next_cursor` returned it, with the same filters."},
    ),
)
async def list_batches(request: ApiRequest) -> BatchPage:
    """Return a page, newest first."""
    query = request.parameters(BatchQuery)
    wanted = BatchFilter(query.state, query.name, query.tag)
    bound = ("batches", wanted)
    after = None if query.cursor is None else read_cursor(query.cursor, bound, BatchPosition)
    items, more = await queries.list_batches(request.deps.scenarios, wanted, after, query.limit)
    return BatchPage(items, None if more is None else make_cursor(more, bound))


@get(
    "/batches/{batch_id:uuid}",
    doc=OperationDoc(
        id="getBatch",
        tag="batches",
        summary="Get one batch, with its progress and failures",
        responses={200: ResponseDoc("The batch.", BatchDetail, examples.BATCH)},
        problems={NOT_FOUND: examples.NO_BATCH},
    ),
)
async def get_batch(request: ApiRequest, batch_id: FromPath[UUID]) -> BatchDetail:
    """Return the batch. Raises ProblemError (404) if there is none."""
    batch = await queries.find_batch(request.deps.scenarios, batch_id, request.options.path_prefix)
    if batch is None:
        raise no_batch(batch_id)
    return batch


@post(
    "/batches/{batch_id:uuid}/stop",
    status_code=200,
    doc=OperationDoc(
        id="stopBatch",
        tag="batches",
        summary="Stop a batch",
        description="Its scenarios are stopped, and no more are made. What they stored stays.",
        responses={200: ResponseDoc("The batch, stopping.", BatchDetail, examples.BATCH), 202: _ACCEPTED_DOC},
        problems={
            NOT_FOUND: examples.NO_BATCH,
            BATCH_CONFLICT: "The batch is being deleted.",
            UNAVAILABLE: examples.COMMAND_LOST,
        },
    ),
)
async def stop_batch(
    request: ApiRequest, batch_id: FromPath[UUID]
) -> Response[BatchDetail] | Response[Accepted]:
    """Return 200 with the batch, or 202 if it cannot be read in time."""
    return await _change(request, StopBatch(uuid4(), batch_id))


class StartQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """The parameters of POST /batches/{id}/start."""

    failed: Annotated[bool, Meta(description="also start its scenarios that failed")] = False


@post(
    "/batches/{batch_id:uuid}/start",
    status_code=200,
    doc=OperationDoc(
        id="startBatch",
        tag="batches",
        summary="Go on with a batch",
        description="Scenarios that were stopped resume after their last stored frames.",
        query=StartQuery,
        responses={200: ResponseDoc("The batch, running.", BatchDetail, examples.BATCH), 202: _ACCEPTED_DOC},
        problems={
            NOT_FOUND: examples.NO_BATCH,
            BATCH_CONFLICT: "It is still stopping: wait until its state is stopped, then start it.",
            UNAVAILABLE: examples.COMMAND_LOST,
        },
    ),
)
async def start_batch(
    request: ApiRequest, batch_id: FromPath[UUID]
) -> Response[BatchDetail] | Response[Accepted]:
    """Return 200 with the batch, or 202 if it cannot be read in time."""
    query = request.parameters(StartQuery)
    return await _change(request, StartBatch(uuid4(), batch_id, query.failed))


class BatchPatch(Struct, frozen=True, forbid_unknown_fields=True):
    """What can be changed of a batch, as a JSON merge patch (RFC 7396): what is left out stays."""

    name: BatchName | UnsetType | None = UNSET
    tags: Annotated[Tags | UnsetType | None, Meta(description="all tags from then on; null: none")] = UNSET
    watch: Annotated[bool | UnsetType, Meta(description="whether files that come later follow")] = UNSET
    at_once: AtOnce | UnsetType = UNSET


@patch(
    "/batches/{batch_id:uuid}",
    doc=OperationDoc(
        id="updateBatch",
        tag="batches",
        summary="Change a batch's name, tags, watching and number of scenarios at once",
        description=(
            "The body is a JSON merge patch (RFC 7396). With a smaller `at_once`, scenarios that run go on,"
            " and further ones wait until there is room."
        ),
        body=BatchPatch,
        body_examples={"stop watching": BatchPatch(watch=False), "more at once": BatchPatch(at_once=8)},
        responses={200: ResponseDoc("The batch.", BatchDetail, examples.BATCH), 202: _ACCEPTED_DOC},
        problems=JSON_BODY
        | {
            NOT_FOUND: examples.NO_BATCH,
            BATCH_CONFLICT: "The batch is being deleted.",
            INVALID: "`sources` is not known; check its spelling.",
            UNAVAILABLE: examples.COMMAND_LOST,
        },
    ),
)
async def update_batch(
    request: ApiRequest, batch_id: FromPath[UUID]
) -> Response[BatchDetail] | Response[Accepted]:
    """Return 200 with the batch, or 202 if it cannot be read in time."""
    change = await request.content(BatchPatch)
    tags = None if change.tags is UNSET else distinct(change.tags or ())
    check_tags(tags)
    command = UpdateBatch(
        uuid4(),
        batch_id,
        None if change.name is UNSET else change.name or "",
        tags,
        None if change.watch is UNSET else change.watch,
        None if change.at_once is UNSET else change.at_once,
    )
    return await _change(request, command)


class DeleteQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """The parameters of DELETE /batches/{id}."""

    stop: Annotated[bool, Meta(description="stop it first, if it is not stopped")] = False


@delete(
    "/batches/{batch_id:uuid}",
    status_code=202,
    doc=OperationDoc(
        id="deleteBatch",
        tag="batches",
        summary="Delete a batch with its scenarios and all that they stored",
        query=DeleteQuery,
        responses={
            202: ResponseDoc(
                "Its state is `deleting` until all of it is gone.",
                Accepted,
                Accepted(examples.BATCH.id, _DELETING),
                headers=_LOCATION_DOC,
            ),
        },
        problems={
            NOT_FOUND: examples.NO_BATCH,
            BATCH_CONFLICT: "It is not stopped: stop it and wait, or delete it with `?stop=true`.",
            UNAVAILABLE: examples.COMMAND_LOST,
        },
    ),
)
async def delete_batch(request: ApiRequest, batch_id: FromPath[UUID]) -> Response[Accepted]:
    """Return 202: the scenarios are deleted in the background."""
    query = request.parameters(DeleteQuery)
    command = DeleteBatch(uuid4(), batch_id, query.stop)
    await send_command(request.deps, request.options, command, "Repeat the request.")
    return _accepted(request, batch_id, _DELETING)


async def _change(request: ApiRequest, command: BatchCommand) -> Response[BatchDetail] | Response[Accepted]:
    missing = no_batch(command.batch_id)
    batch = await _send_and_read(request, command, repeat="Repeat the request.", missing=missing)
    return _accepted(request, command.batch_id, _ACCEPTED) if batch is None else Response(batch)


async def _send_and_read(
    request: ApiRequest, command: BatchCommand, *, repeat: str, missing: ProblemError
) -> BatchDetail | None:
    """Return the batch after a command, or None if that takes too long. Raises `missing` if gone."""
    deadline = current_time() + _ANSWER_TIMEOUT
    if await send_command(request.deps, request.options, command, repeat):
        with suppress(*TRANSIENT), CancelScope(deadline=deadline):
            prefix = request.options.path_prefix
            batch = await queries.find_batch(request.deps.scenarios, command.batch_id, prefix)
            if batch is None:
                raise missing
            return batch
    return None


def _accepted(request: ApiRequest, batch_id: UUID, detail: str) -> Response[Any]:
    return Response(Accepted(batch_id, detail), status_code=202, headers=_location(request, batch_id))


def _location(request: ApiRequest, batch_id: UUID) -> dict[str, str]:
    return {"Location": f"{request.options.path_prefix}/batches/{batch_id}"}
