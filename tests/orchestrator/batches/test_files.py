"""Which files become scenarios, and when."""

import os
from pathlib import Path
from uuid import uuid4

import msgspec
import pytest

from app.domain.pins import FileIdentity
from app.media.scanning import Scan
from app.messages import UpdateBatch
from app.orchestrator.batches import feeding, keeper
from app.orchestrator.batches.feeding import UNKNOWN_DATE
from app.orchestrator.batches.found_files import NOTHING_FOUND
from app.orchestrator.batches.keeper import ScanTiming
from app.video.identity import identify
from tests.orchestrator.batches.yard import Yard, creation, finish, source_of, started
from tests.support.waiting import until


async def test_each_file_becomes_a_scenario_no_more_at_once_than_allowed(yard: Yard) -> None:
    for number in range(5):
        yard.put(f"day/{number}.mp4")
    yard.put("day/note.txt")
    async with yard.orchestrator(), yard.world.runner(slots=10) as runner:
        batch = await yard.create(creation("day/*.mp4", at_once=2))
        for number in range(5):
            await started(runner, min(5, number + 2))
            assert len(runner.runs) <= 2
            await finish(runner, runner.starts[number])
        await yard.is_in(batch, "done")
        assert [source_of(start) for start in runner.starts] == [f"day/{number}.mp4" for number in range(5)]
        row = await yard.world.row(runner.starts[0].scenario_id)
        assert (row["batch_id"], row["tags"], row["outcome"]) == (batch, ["a"], "completed")
        spec = msgspec.json.decode(row["spec"])
        assert "tags" not in spec
        identity = identify(yard.folder / "day/0.mp4")
        assert spec["file"] == {"size": identity.size, "digest": identity.digest}


async def test_a_batch_that_may_have_fewer_at_once_by_now_gets_no_more(yard: Yard) -> None:
    for number in range(8):
        yard.put(f"{number}.mp4")
    async with yard.orchestrator(), yard.world.runner(slots=10) as runner:
        batch = await yard.create(creation(at_once=3))
        await started(runner, 3)
        assert await yard.world.send(UpdateBatch(uuid4(), batch, at_once=1)) == "done"
        assert await feeding.feed(yard.world.database, batch, 5, yard.folder, None) == 0
        assert sorted((await yard.files(batch)).values()) == ["ready"] * 5 + ["taken"] * 3


async def test_statements_are_planned_again_when_a_batch_has_made_many_scenarios(yard: Yard) -> None:
    for number in range(60):
        yard.put(f"{number}.mp4")

    async def are_counted() -> bool:
        sql = "SELECT reltuples >= 50 FROM pg_class WHERE oid = 'scenarios'::regclass"
        async with yard.world.database.connection() as connection:
            return bool(await connection.fetchval(sql))

    async with yard.orchestrator():
        await yard.create(creation(at_once=60))
        await until(are_counted, timeout=30)  # autovacuum would need up to a minute


async def test_a_file_that_grows_is_waited_for(yard: Yard) -> None:
    file = yard.put("1.mp4", "begin")
    database = yard.world.database
    an_hour = ScanTiming(interval=0.05, settle=3600)
    async with yard.orchestrator(an_hour), yard.world.runner() as runner:
        batch = await yard.create(creation())
        await yard.have_states(batch, {"1.mp4": "growing"})
        for _ in range(3):
            async with database.connection() as connection:  # an hour passes, and it has grown meanwhile
                await connection.execute("UPDATE batch_files SET changed_at = now() - interval '50 minutes'")
            with file.open("a") as more:
                more.write("more")

            async def is_seen() -> bool:
                sql = "SELECT size = $1 AND changed_at > now() - interval '40 minutes' FROM batch_files"
                async with database.connection() as connection:
                    return bool(await connection.fetchval(sql, file.stat().st_size))

            await until(is_seen)
            assert await yard.files(batch) == {"1.mp4": "growing"}
        async with database.connection() as connection:
            await connection.execute("UPDATE batch_files SET changed_at = now() - interval '2 hours'")
        await until(lambda: runner.starts)
        assert await yard.files(batch) == {"1.mp4": "taken"}


async def test_files_that_come_later_follow_if_the_folder_is_watched(yard: Yard) -> None:
    yard.put("1.mp4")
    async with yard.orchestrator(), yard.world.runner() as runner:
        watching = await yard.create(creation(watch=True))
        once = await yard.create(creation())
        await until(lambda: len(runner.starts) == 2)
        for start in list(runner.starts):
            await finish(runner, start)
        await yard.is_in(once, "done")
        yard.put("2.mp4")
        await until(lambda: len(runner.starts) == 3)
        assert source_of(runner.starts[2]) == "2.mp4"
        assert await yard.files(once) == {"1.mp4": "taken"}
        assert await yard.world.send(UpdateBatch(uuid4(), once, watch=True)) == "done"
        await until(lambda: len(runner.starts) == 4)
        assert await yard.files(once) == {"1.mp4": "taken", "2.mp4": "taken"}
        assert (await yard.batch(watching))["state"] == (await yard.batch(once))["state"] == "running"


async def test_a_replaced_file_is_another_and_a_touched_one_is_not(yard: Yard) -> None:
    file = yard.put("1.mp4", "first")
    async with yard.orchestrator(), yard.world.runner(slots=9) as runner:
        batch = await yard.create(creation(watch=True, at_once=9))
        await until(lambda: len(runner.starts) == 1)
        os.utime(file, ns=(1, 1))
        yard.put("2.mp4")  # seen in the same scan as the new time, or a later one
        await until(lambda: len(runner.starts) == 2)
        other = yard.put("other.tmp", "other")
        other.rename(file)
        await until(lambda: len(runner.starts) == 3)
        assert [source_of(start) for start in runner.starts] == ["1.mp4", "2.mp4", "1.mp4"]
        file.rename(yard.folder / "3.mp4")
        await until(lambda: len(runner.starts) == 4)
        assert source_of(runner.starts[3]) == "3.mp4"
        yard.put("1.mp4", "first")  # back again: it was analysed
        yard.put("4.mp4")
        await until(lambda: len(runner.starts) == 5)
        assert source_of(runner.starts[4]) == "4.mp4"
        await yard.have_states(batch, {f"{n}.mp4": "taken" for n in range(1, 5)})
        assert len({start.scenario_id for start in runner.starts}) == 5


async def test_what_was_removed_or_has_no_possible_name_is_listed(yard: Yard) -> None:
    for name in ("1.mp4", "2.mp4", "3.mp4", "a\\b.mp4"):
        yard.put(name)
    async with yard.orchestrator(), yard.world.runner() as runner:
        batch = await yard.create(creation(at_once=1))
        await until(lambda: runner.starts)
        (yard.folder / "2.mp4").unlink()
        (yard.folder / "3.mp4").write_text("another one, of another size")
        await finish(runner, runner.starts[0])
        await until(lambda: len(runner.starts) == 2)
        await finish(runner, runner.starts[1])
        await yard.is_in(batch, "done")
        assert source_of(runner.starts[1]) == "3.mp4"
        states = {"1.mp4": "taken", "2.mp4": "gone", "3.mp4": "taken", "a\\b.mp4": "refused"}
        assert await yard.files(batch) == states


async def test_a_folder_without_such_files_is_told_and_looked_at_again(yard: Yard) -> None:
    async with yard.orchestrator(), yard.world.runner() as runner:
        batch = await yard.create(creation("yard/*.mp4"))

        async def is_told() -> bool:
            return bool((await yard.batch(batch))["problem"] == NOTHING_FOUND)

        await until(is_told)
        yard.put("yard/1.mp4")
        (start,) = await until(lambda: runner.starts)
        await finish(runner, start)
        await yard.is_in(batch, "done")
        assert (await yard.batch(batch))["problem"] is None


async def test_names_tell_when_files_were_recorded(yard: Yard) -> None:
    yard.put("cam1_20260131-093000.mp4")
    yard.put("other.mp4")
    async with yard.orchestrator(), yard.world.runner() as runner:
        await yard.create(creation(recorded_at="cam1_%Y%m%d-%H%M%S", timezone="Europe/Berlin"))
        await until(lambda: len(runner.starts) == 2)
        dated, other = (msgspec.json.decode(start.spec) for start in runner.starts)
        assert (dated["recorded_at"], other.get("recorded_at")) == ("2026-01-31T08:30:00Z", None)
        async with yard.world.database.connection() as connection:
            notes = await connection.fetch("SELECT note FROM batch_files ORDER BY path")
        assert [row["note"] for row in notes] == [None, UNKNOWN_DATE]


async def test_files_that_cannot_be_read_hold_up_no_others(
    yard: Yard, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("1.mp4", "2.mp4", "3.mp4"):
        yard.put(name)

    def refuse(path: Path) -> FileIdentity:
        if path.name != "3.mp4":
            raise PermissionError(13, "Permission denied")
        return identify(path)

    monkeypatch.setattr(feeding, "identify", refuse)
    async with yard.orchestrator(), yard.world.runner(slots=10) as runner:
        batch = await yard.create(creation("*.mp4", at_once=2))
        await started(runner, 1)
        assert source_of(runner.starts[0]) == "3.mp4"
        async with yard.world.database.connection() as connection:
            rows = await connection.fetch(
                "SELECT path, note FROM batch_files WHERE batch_id = $1 AND note IS NOT NULL", batch
            )
        assert {row["path"]: row["note"] for row in rows} == dict.fromkeys(
            ("1.mp4", "2.mp4"), "It cannot be read (permission denied). It is tried again."
        )


async def test_a_fault_in_one_batch_is_told_and_ends_nothing(
    yard: Yard, monkeypatch: pytest.MonkeyPatch
) -> None:
    yard.put("1.mp4")
    yard.put("2.mp4")
    look = keeper._look

    def fail(root: Path, sources: str) -> Scan:
        if sources == "1.mp4":
            raise RecursionError
        return look(root, sources)

    monkeypatch.setattr(keeper, "_look", fail)
    async with yard.orchestrator(), yard.world.runner(slots=10) as runner:
        faulty = await yard.create(creation("1.mp4"))
        await yard.create(creation("2.mp4"))
        await started(runner, 1)
        assert source_of(runner.starts[0]) == "2.mp4"

        async def is_told() -> bool:
            row = await yard.world.database.find("SELECT id, problem FROM batches WHERE id = ANY($1)", faulty)
            return row is not None and "RecursionError" in (row["problem"] or "")

        await until(is_told)
