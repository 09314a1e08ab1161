"""Run every benchmark, one after the other, and print one table: `make bench`.

`--json FILE` also writes the results, and the machine they were measured on, to a file.
"""

import argparse
import os
import platform
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import av
import msgspec
import onnxruntime
from msgspec import Struct

from benchmarks.table import Row, show

MODULES = (
    "sampling",
    "analysis",
    "inference",
    "objects",
    "quantized",
    "backends",
    "serving",
    "storage",
    "event_storage",
    "lifecycles",
    "pages",
    "instead",
    "first_prediction",
    "memory",
    "idle",
    "starting",
    "api_latency",
    "viewers",
    "queries",
    "exports",
    "pictures",
    "browsing",
    "short_files",
    "decoding",
    "scaling",
    "cameras",
)


class Report(Struct, frozen=True):
    """All rows, when and on which machine they were measured, each module's seconds, and failed modules."""

    at: datetime
    machine: str
    rows: list[Row]
    seconds: dict[str, float]
    missing: list[str]


def machine() -> str:
    """Return what the figures depend on besides this repository."""
    versions = (
        f"Python {platform.python_version()}, PyAV {av.__version__}, ONNX Runtime {onnxruntime.__version__}"
    )
    return f"{os.cpu_count()} cores, {platform.machine()}, {platform.system()}, {versions}"


def measure(names: list[str], rounds: int | None) -> Report:
    """Run each module in its own process. If one fails, print why and continue with the others."""
    began = datetime.now(UTC)
    rows: list[Row] = []
    missing: list[str] = []
    seconds = {}
    with TemporaryDirectory() as folder:
        file = Path(folder) / "rows.json"
        for name in names:
            print(f"\n{name}", flush=True)
            start = time.monotonic()
            command = [sys.executable, "-m", f"benchmarks.{name}", "--json", str(file)]
            done = subprocess.run([*command, *(["--rounds", str(rounds)] if rounds else [])], check=False)
            if done.returncode:
                missing.append(name)
                continue
            seconds[name] = round(time.monotonic() - start, 1)
            rows += msgspec.json.decode(file.read_bytes(), type=list[Row])
    return Report(began, machine(), sorted(rows, key=_order), seconds, missing)


def _order(row: Row) -> tuple[int, str]:
    """Return the row's place in the table of docs/performance.md; rows without a number come last."""
    digits = "".join(filter(str.isdigit, row.number))
    return (int(digits) if digits else 99, row.number)


def main() -> None:
    """Parse the arguments, measure, print the table and write the file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("modules", nargs="*", choices=[*MODULES, []], help="default: all")
    parser.add_argument("--rounds", type=int, help="alternations; the default differs per module")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the report there, too")
    options = parser.parse_args()
    report = measure(options.modules or list(MODULES), options.rounds)
    print(f"\n{report.machine}; {sum(report.seconds.values()):.0f} s: {report.seconds}\n")
    show(report.rows)
    if options.json is not None:
        options.json.write_bytes(msgspec.json.format(msgspec.json.encode(report)) + b"\n")
    if report.missing:
        sys.exit(f"not measured, for the reasons above: {', '.join(report.missing)}")


if __name__ == "__main__":
    main()
