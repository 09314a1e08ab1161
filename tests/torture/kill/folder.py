"""A folder that fills while the service watches it, and what must have become of each file of it.

The verifier knows what was written, and reads both databases. It computes digests itself.
"""

import json
import random
import struct
import time
from collections import Counter
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

import asyncpg
from anyio import create_task_group, sleep
from msgspec import Struct, field

from tests.torture.battery import size

if TYPE_CHECKING:
    Connection = asyncpg.Connection[asyncpg.Record]

File = tuple[str, str]
"""The path of a file below the folder, and the SHA-256 of its content."""

LONGEST_CHANGE = float(size(9, 12))
"""Seconds after which a file is replaced or renamed: before, while or after it is analysed."""

MOST_SETTLED = 3.0
"""Seconds between two writes to a growing file, of the 5 that the service waits. If this process was held up
for longer, what was there by then may have been taken."""

_KINDS = ("plain", "plain", "plain", "growing", "replaced", "renamed", "damaged", "linked", "odd")
_ODD = (
    "ä ö {}.mp4",
    "cam:{}.mp4",
    "[{}].mp4",
    " lead {}.mp4",
    "new\nline {}.mp4",
    "\udcff{}.mp4",
    "back\\{}.mp4",
)


class FolderFindings(Struct):
    """What was found of `files` that had to be analysed."""

    files: int = 0
    lost: int = 0
    twice: int = 0
    wrong: list[str] = field(default_factory=list)
    """Analysed with other frames, or with another outcome."""
    unexpected: int = 0
    """Scenarios of files that were never whole there, or must not be found."""
    unlisted: int = 0
    """Files with impossible names that the batch does not list."""
    superseded: int = 0
    """Scenarios of files that were replaced or renamed later, which may be there or not."""

    @property
    def damage(self) -> int:
        return self.lost + self.twice + len(self.wrong) + self.unexpected + self.unlisted

    def __str__(self) -> str:
        return (
            f"{self.lost} lost, {self.twice} analysed twice, {len(self.wrong)} with wrong frames,"
            f" {self.unexpected} unexpected, {self.unlisted} not listed of {self.files} files"
            f" ({self.superseded} more under a name that they lost later)"
        )


class WatchedFolder:
    """Fills a folder with files of every kind, each with a content of its own."""

    def __init__(self, root: Path, clips: Path, chance: random.Random) -> None:
        self._root = root
        self._outside = root.parent / "outside"
        self._outside.mkdir()
        (root / ".store").mkdir()
        self._clips = {int(clip.stem): clip.read_bytes() for clip in clips.iterdir()}
        self._chance = chance
        self._number = 0
        self.expected: dict[File, int | None] = {}
        """How many frames must be stored; None: it must fail."""
        self.possible: set[File] = set()
        self.refused = 0
        self.put = 0

    async def fill(self, count: int, seconds: float) -> None:
        """Put so many files there, spread over the time."""
        async with create_task_group() as group:
            for number in range(count):
                self.put += 1
                group.start_soon(getattr(self, f"_{_KINDS[number % len(_KINDS)]}"))
                await sleep(seconds / count)

    def _content(self) -> tuple[int, bytes]:
        """A clip that differs from all others by a box that players skip. Returns its frames, too."""
        self._number += 1
        frames = self._chance.choice(sorted(self._clips))
        return frames, self._clips[frames] + struct.pack(">I4sQ", 16, b"free", self._number)

    def _put(self, path: str, content: bytes) -> File:
        hidden = self._root / ".store" / f"{self._number}.part"
        hidden.write_bytes(content)
        hidden.rename(self._root / path)
        return path, sha256(content).hexdigest()

    async def _plain(self) -> None:
        frames, content = self._content()
        folder = self._chance.choice(["", "a/", "a/b/"])
        (self._root / folder).mkdir(parents=True, exist_ok=True)
        self.expected[self._put(f"{folder}plain-{self._number}.mp4", content)] = frames

    async def _growing(self) -> None:
        frames, content = self._content()
        path = f"growing-{self._number}.mp4"
        pieces = [
            content[at : at + len(content) // 6 + 1] for at in range(0, len(content), len(content) // 6 + 1)
        ]
        self.expected[path, sha256(content).hexdigest()] = frames
        with (self._root / path).open("wb") as file:
            for number, piece in enumerate(pieces):
                file.write(piece)
                file.flush()
                began = time.monotonic()
                await sleep(self._chance.uniform(0.1, 1.0))
                if time.monotonic() - began > MOST_SETTLED:
                    self.possible.add((path, sha256(b"".join(pieces[: number + 1])).hexdigest()))

    async def _replaced(self) -> None:
        _, first = self._content()
        path = f"replaced-{self._number}.mp4"
        self.possible.add(self._put(path, first))
        await sleep(self._chance.uniform(0, LONGEST_CHANGE))
        frames, second = self._content()
        self.expected[self._put(path, second)] = frames

    async def _renamed(self) -> None:
        frames, content = self._content()
        path, renamed = f"first-{self._number}.mp4", f"renamed-{self._number}.mp4"
        self.possible.add(self._put(path, content))
        await sleep(self._chance.uniform(0, LONGEST_CHANGE))
        (self._root / path).rename(self._root / renamed)
        self.expected[renamed, sha256(content).hexdigest()] = frames

    async def _damaged(self) -> None:
        self._content()
        self.expected[self._put(f"damaged-{self._number}.mp4", self._chance.randbytes(5000))] = None

    async def _linked(self) -> None:
        frames, content = self._content()
        (self._root / ".store" / f"{self._number}.mp4").write_bytes(content)
        (self._outside / f"{self._number}.mp4").write_bytes(content)
        (self._root / f"out-{self._number}.mp4").symlink_to(self._outside / f"{self._number}.mp4")
        (self._root / f"link-{self._number}.mp4").symlink_to(f".store/{self._number}.mp4")
        self.expected[f"link-{self._number}.mp4", sha256(content).hexdigest()] = frames

    async def _odd(self) -> None:
        frames, content = self._content()
        name = _ODD[self.put % len(_ODD)].format(self._number)
        file = self._put(name, content)
        if any(character in name for character in "\n\\\udcff"):
            self.refused += 1
        else:
            self.expected[file] = frames


async def verify_folder(
    folder: WatchedFolder, scenarios: "Connection", predictions: "Connection"
) -> FolderFindings:
    """Compare what is stored with what was put into the folder."""
    found = FolderFindings(files=len(folder.expected) + folder.refused)
    analysed: Counter[File] = Counter()
    for row in await scenarios.fetch("SELECT id, spec, state, outcome, error FROM scenarios"):
        spec = json.loads(row["spec"])
        file = spec["source"].removeprefix("./"), spec["file"]["digest"]
        analysed[file] += 1
        if file not in folder.expected:
            found.unexpected += file not in folder.possible
            found.superseded += file in folder.possible
            continue
        frames = folder.expected[file]
        stored = await predictions.fetch(
            "SELECT frame FROM predictions WHERE scenario_id = $1 ORDER BY frame", row["id"]
        )
        outcome = "failed" if frames is None else "completed"
        is_right = [each["frame"] for each in stored] == list(range(frames or 0))
        if (row["state"], row["outcome"]) != ("inactive", outcome) or not is_right:
            found.wrong.append(f"{file[0]}: {row['outcome']}, {len(stored)} of {frames}: {row['error']}")
    found.twice = sum(count > 1 for count in analysed.values())
    found.lost = sum(file not in analysed for file in folder.expected)
    listed = await scenarios.fetchval("SELECT count(*) FROM batch_files WHERE state = 'refused'")
    found.unlisted = abs(folder.refused - listed)
    return found


async def is_settled(folder: WatchedFolder, scenarios: "Connection") -> bool:
    """Whether each file that is expected has a scenario, or is listed, and all scenarios have ended."""
    row = await scenarios.fetchrow(
        """
        SELECT (SELECT array_agg(spec->'file'->>'digest') FROM scenarios),
               EXISTS (SELECT FROM scenarios WHERE state <> 'inactive')
               OR EXISTS (SELECT FROM batch_files WHERE state IN ('growing', 'ready'))
        """
    )
    assert row is not None
    made, going = row
    listed = await scenarios.fetchval("SELECT count(*) FROM batch_files WHERE state = 'refused'")
    missing = {digest for _, digest in folder.expected} - set(made or ())
    return not going and not missing and listed >= folder.refused
