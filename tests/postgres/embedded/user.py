"""A process that uses the embedded server until its standard input ends.

Prints one line of JSON: the server's address and process id. With `--as <name>` it becomes that user first.
"""

import argparse
import json
import os
import pwd
import sys
from pathlib import Path

import anyio
import asyncpg
import structlog
from anyio import to_thread

from app.postgres.embedded.server import embedded_server


async def use(folder: Path, binaries: Path | None) -> None:
    async with embedded_server(folder, databases=("scenarios", "predictions"), binaries=binaries) as server:
        dsn = server.dsn("scenarios")
        print(json.dumps({"dsn": dsn, "pid": await postmaster(dsn)}), flush=True)
        await to_thread.run_sync(sys.stdin.read)


async def postmaster(dsn: str) -> int:
    """The process id of the server at `dsn`."""
    connection = await asyncpg.connect(dsn)
    try:
        file = await connection.fetchval("SELECT pg_read_file('postmaster.pid')")
    finally:
        await connection.close()
    return int(file.split()[0])


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--as", dest="name")
    parser.add_argument("--binaries", type=Path)
    arguments = parser.parse_args()
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    if arguments.name:
        anyio.run(to_thread.run_sync, os.getpid)  # loads what that user may not be able to
        user = pwd.getpwnam(arguments.name)
        os.setgroups([])
        os.setgid(user.pw_gid)
        os.setuid(user.pw_uid)
        os.environ["HOME"] = "/nonexistent"
    anyio.run(use, arguments.folder, arguments.binaries)


if __name__ == "__main__":
    main()
