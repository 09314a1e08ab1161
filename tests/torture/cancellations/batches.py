"""Calls of the functions that work for batches, of the orchestrator and the api."""

from pathlib import Path
from uuid import UUID, uuid4

from msgspec import Raw

from app.api.queries import batches as queries
from app.domain.batch import BatchSpec, encode_batch
from app.domain.features import FEATURES
from app.media.scanning import FoundFile, Scan
from app.messages import BatchCommand, CreateBatch, DeleteBatch, StopBatch
from app.orchestrator import dispatcher
from app.orchestrator.batches import commands, endings, feeding, found_files, keeper
from tests.torture.cancellations.registry import call
from tests.torture.cancellations.world import World

SPEC = encode_batch(BatchSpec("**/*.py", Raw(b'{"detector":{"type":"marker"}}')))
FOLDER = Path(__file__).parent


async def _batch(world: World, *, state: str = "running") -> UUID:
    """A batch of its own, with the files of this folder."""
    batch_id = uuid4()
    async with world.scenarios.connection() as connection:
        await connection.execute(
            "INSERT INTO batches (id, spec, name, watch, at_once, state) VALUES ($1, $2, '', true, 2, $3)",
            batch_id,
            SPEC,
            state,
        )
        for file in FOLDER.glob("[ao]*.py"):
            await connection.execute(
                "INSERT INTO batch_files (batch_id, path, size, modified, state)"
                " VALUES ($1, $2, $3, $4, 'ready')",
                batch_id,
                file.name,
                file.stat().st_size,
                file.stat().st_mtime_ns,
            )
    return batch_id


@call(commands.carry_out_for_batch)
async def _carry_out(world: World) -> None:
    batch_id = await _batch(world)
    create = CreateBatch(uuid4(), uuid4(), SPEC, (), "", (), True, 1)
    asked: list[BatchCommand] = [
        create,
        StopBatch(uuid4(), batch_id),
        DeleteBatch(uuid4(), batch_id, stop=True),
    ]
    async with world.scenarios.transaction() as connection:
        await commands.carry_out_for_batch(connection, world.chance.choice(asked))


@call(commands.lock_batch)
async def _lock(world: World) -> None:
    batch_id = await _batch(world)
    async with world.scenarios.transaction() as connection:
        await commands.lock_batch(connection, batch_id)


@call(found_files.bring_in)
async def _bring_in(world: World) -> None:
    batch_id = await _batch(world)
    found = Scan(tuple(FoundFile(f"{n}.mp4", n, n) for n in range(5)))
    await found_files.bring_in(
        world.scenarios, batch_id, found, found_files.KnownFiles(watch=True), settle=0.0
    )


@call(feeding.feed)
async def _feed(world: World) -> None:
    await feeding.feed(world.scenarios, await _batch(world), 4, FOLDER, None)


@call(feeding.settle_state)
async def _settle_state(world: World) -> None:
    batch_id = await _batch(world)
    async with world.scenarios.connection() as connection:
        await feeding.settle_state(connection, batch_id)


@call(endings.stop_scenarios)
async def _stop(world: World) -> None:
    batch_id = await _batch(world)
    await feeding.feed(world.scenarios, batch_id, 4, FOLDER, None)
    async with world.scenarios.transaction() as connection:
        await connection.execute("UPDATE batches SET state = 'stopping' WHERE id = $1", batch_id)
        await endings.stop_scenarios(connection, batch_id)


@call(endings.delete_scenarios)
async def _delete(world: World) -> None:
    batch_id = await _batch(world, state="deleting")
    async with world.scenarios.transaction() as connection:
        await endings.delete_scenarios(connection, batch_id)


@call(endings.settle_ending)
async def _settle_ending(world: World) -> None:
    await endings.settle_ending(world.scenarios, await _batch(world, state="deleting"))


@call(keeper.analyze_if_small)
async def _analyze(world: World) -> None:
    async with world.scenarios.connection() as connection:
        await keeper.analyze_if_small(connection, 10**9)


@call(keeper.list_to_scan)
async def _list_to_scan(world: World) -> None:
    async with world.scenarios.connection() as connection:
        await keeper.list_to_scan(connection)


@call(keeper.list_going)
async def _list_going(world: World) -> None:
    async with world.scenarios.connection() as connection:
        await keeper.list_going(connection)


@call(dispatcher.count_expected)
async def _count_expected(world: World) -> None:
    async with world.scenarios.connection() as connection:
        await dispatcher.count_expected(connection, FEATURES, world.some_scenarios())


@call(queries.find_batch)
async def _find_batch(world: World) -> None:
    await queries.find_batch(world.scenarios, uuid4())


@call(queries.list_batch_news)
async def _list_batch_news(world: World) -> None:
    await queries.list_batch_news(world.scenarios, [], 3.0)


@call(queries.list_batches)
async def _list_batches(world: World) -> None:
    await queries.list_batches(world.scenarios, queries.BatchFilter(), None, 10)


@call(queries.list_scenarios_of)
async def _list_scenarios_of(world: World) -> None:
    await queries.list_scenarios_of(world.scenarios, uuid4(), None, 10)


@call(queries.batch_exists)
async def _batch_exists(world: World) -> None:
    await queries.batch_exists(world.scenarios, uuid4())
