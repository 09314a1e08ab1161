"""How the orchestrator answers a command, in `handled_commands.answer`."""

from typing import Literal

CommandAnswer = Literal["done", "conflict", "unknown", "mismatch"]
"""`done`; `conflict` with the scenario's state; `unknown` scenario; `mismatch` with an earlier request."""
