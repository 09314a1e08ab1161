"""What the tests of server share."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import asyncpg
import pytest

from tests.postgres.conftest import User

Use = Callable[..., User]
DATABASES = ("scenarios", "predictions")
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="root alone can become another user")


async def value(dsn: str, query: str, *arguments: object) -> object:
    connection = await asyncpg.connect(dsn)
    try:
        return await connection.fetchval(query, *arguments)
    finally:
        await connection.close()


async def keep(dsn: str, number: int) -> None:
    await value(dsn, "CREATE TABLE IF NOT EXISTS kept (number integer)")
    await value(dsn, "INSERT INTO kept VALUES ($1)", number)


async def kept(dsn: str) -> object:
    return await value(dsn, "SELECT array_agg(number ORDER BY number) FROM kept")


async def socket_folder(dsn: str) -> Path:
    return Path(str(await value(dsn, "SHOW unix_socket_directories")))


def unfinished(folder: Path) -> list[Path]:
    """Return the folders that a failed initdb has left."""
    return list(folder.glob("new-*"))


def give_away(folder: Path) -> None:
    """Make another user the owner of the folder and everything in it."""
    folder.mkdir(exist_ok=True)
    for path in (folder, *folder.rglob("*")):
        shutil.chown(path, "daemon", "daemon")
