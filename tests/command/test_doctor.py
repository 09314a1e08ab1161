"""`videoanalysis doctor`: what it finds, and what it says to do."""

import asyncio
import json
import re
import socket
from asyncio import StreamReader, StreamWriter
from pathlib import Path
from socket import gethostname

import asyncpg
import pytest
from msgspec.structs import replace

from app.command.checking import machine
from app.command.checking.surroundings import check_port
from app.orchestrator.elector import lead
from app.settings import Settings
from tests.support.command import run_command
from tests.support.databases import Databases
from tests.support.ports import free_port


@pytest.fixture
def addresses(scenarios_dsn: str, predictions_dsn: str) -> dict[str, str]:
    return {"scenarios_dsn": scenarios_dsn, "predictions_dsn": predictions_dsn}


def test_a_sound_installation_is_told_as_such(tmp_path: Path, addresses: dict[str, str]) -> None:
    ended = run_command(tmp_path, "doctor", "--json", port=str(free_port()), **addresses)
    findings = [json.loads(line) for line in ended.output.splitlines()]
    assert ended.code == 0, ended
    assert {each["status"] for each in findings} <= {"ok", "warn"}  # the disk of the tests may be small
    said = {each["subject"]: each["text"] for each in findings}
    assert list(said) == [
        "database scenarios", "clock", "database predictions", "bus", "port", "disk of uploads", "video",
        "inference",
    ]  # fmt: skip
    assert re.fullmatch(r"PostgreSQL [\d.]+, all \d+ migrations", said["database scenarios"])
    assert said["video"] == "a clip of h264 was encoded and decoded"
    assert "the built-in model computed a picture" in said["inference"]


@pytest.mark.parametrize(
    ("host", "said"),
    [
        ("203.0.113.1", r"Nothing can listen on 203\.0\.113\.1:80: .*\."),  # of no machine
        ("no host", r"Nothing can listen on no host:80: .*\."),
    ],
)
async def test_a_host_that_is_not_of_this_machine_is_told_as_such(host: str, said: str) -> None:
    (finding,) = [each async for each in check_port(Settings(host=host, port=80))]
    assert finding.status == "fail"
    assert re.fullmatch(said, finding.text)
    assert finding.advice
    assert "VA_HOST" in finding.advice


async def test_a_service_of_other_settings_on_the_port_is_told_as_such(addresses: dict[str, str]) -> None:
    async def answer(reader: StreamReader, writer: StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        body = b'{"ready": true, "waiting_for": []}'
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as other:
        settings = Settings(port=other.sockets[0].getsockname()[1], scenarios_dsn=addresses["scenarios_dsn"])
        (finding,) = [each async for each in check_port(settings)]
        assert (finding.status, finding.advice) == ("fail", "Stop it, or set VA_PORT to another port.")
        assert "is another one: none runs on the database of this one." in finding.text
        async with lead(addresses["scenarios_dsn"], lambda: None, silence=60):
            (finding,) = [each async for each in check_port(settings)]
            assert finding.status == "ok"
            # The runner of a service is named after its machine and port.
            connection = await asyncpg.connect(addresses["scenarios_dsn"])
            await connection.execute(
                "INSERT INTO runners (runner_id, boot_id, slots) VALUES ($1, gen_random_uuid(), 4)",
                f"{gethostname()}:8123",
            )
            await connection.close()
            (finding,) = [each async for each in check_port(settings)]
            assert finding.status == "fail"
            assert "is another one: that of these settings runs on port 8123." in finding.text
            free = replace(settings, port=free_port())
            (finding,) = [each async for each in check_port(free)]
            assert finding.status == "warn"
            assert "is free, but the service of these settings runs on port 8123." in finding.text
        (finding,) = [each async for each in check_port(free)]
        assert finding.status == "ok"


def test_a_disk_without_room_for_the_first_database_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "_free", lambda _: 60_000_000)
    settings = Settings(data_dir=tmp_path, evidence_max_gb=0, uploads=False)
    (finding,) = machine.check_disks(settings)
    assert (finding.status, finding.text) == ("fail", f"60 MB free in {tmp_path}.")
    assert finding.advice == "Make room for 100 MB, or name another folder in VA_DATA_DIR."
    (tmp_path / "postgres" / "data").mkdir(parents=True)
    (finding,) = machine.check_disks(settings)
    assert finding.status == "warn"


async def test_what_is_wrong_is_told_with_what_to_do(
    tmp_path: Path, addresses: dict[str, str], server: Databases
) -> None:
    connection = await asyncpg.connect(addresses["scenarios_dsn"])
    await connection.execute("INSERT INTO schema_migrations (name) VALUES ('999_later.sql')")
    await connection.close()
    (tmp_path / "channels.toml").write_text("[channels.ops]\ntype = 'pigeon'\n")
    addresses["predictions_dsn"] = server.dsn("no_such_database")
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        ended = run_command(
            tmp_path,
            "doctor",
            bus="kafka",
            kafka_bootstrap_servers="127.0.0.1:1",
            channels_file=str(tmp_path / "channels.toml"),
            inference="coreml",
            port=str(port),
            **addresses,
        )
    assert ended.code == 1
    assert "Traceback" not in ended.output + ended.errors
    for line in (
        r"FAIL database scenarios: A newer version has converted it \(999_later\.sql\)\. Install that",
        r"FAIL database predictions: .*no_such_database.* Check VA_PREDICTIONS_DSN, and that its server",
        r"FAIL bus: No Kafka broker answers at 127\.0\.0\.1:1: ",
        rf"FAIL port: Another program uses 127\.0\.0\.1:{port}\. Stop it, or set VA_PORT",
        r"FAIL channels: .*channels\.toml.* Correct the file of VA_CHANNELS_FILE\.",
        r"FAIL inference: VA_INFERENCE=coreml is not possible: ",
        r"OK   video: ",
    ):
        assert re.search(f"^{line}", ended.output, re.MULTILINE), (line, ended.output)
