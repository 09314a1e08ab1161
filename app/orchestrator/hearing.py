"""Whether this orchestrator would hear a heartbeat: it sends itself probes through every partition."""

import time
from collections.abc import Callable
from datetime import UTC, datetime
from uuid import UUID, uuid4

import structlog
from anyio import create_task_group, sleep

from ..bus import Bus, BusUnavailableError
from ..messages import Probe, runner_heartbeats

log = structlog.get_logger(__name__)


class HearingCheck:
    """Says since when silence counts: only silence while probes arrive says something about a runner.

    Probes are late if the broker is away, if the consumer is behind, or if this process was frozen. After
    such a gap every lease gets its full time again.
    """

    def __init__(self, bus: Bus, *, interval: float, longest_gap: float) -> None:
        """`interval` and `longest_gap`, in seconds, are between probes sent and between probes heard."""
        self.heard_since = datetime.min.replace(tzinfo=UTC)
        self._bus = bus
        self._interval = interval
        self._longest_gap = longest_gap
        self._clock: Callable[[], float] = time.monotonic
        self._sender: UUID = uuid4()
        self._sent: dict[int, float] = {}
        self._heard = {key: self._clock() for key in bus.partition_keys(runner_heartbeats)}
        self._had_gap = True  # until the first round: nothing was heard before this process listened

    async def send_probes(self) -> None:
        """Send probes until cancelled."""
        number = 0
        while True:
            number += 1
            self._sent[number] = self._clock()
            try:
                async with create_task_group() as group:
                    for key in self._heard:
                        group.start_soon(
                            self._bus.publish, runner_heartbeats, Probe(self._sender, key, number), key
                        )
            except* BusUnavailableError as unavailable:  # probes are there to detect the gap that follows
                log.warning("cannot send probes", error=str(unavailable.exceptions[0]))
            await sleep(self._interval)

    def hear(self, probe: Probe) -> None:
        """Note that a probe arrived."""
        sent = self._sent.get(probe.number)
        if probe.sender != self._sender or sent is None:
            return  # another orchestrator's, or delivered a second time
        before = self._heard[probe.partition_key]
        now = self._clock()
        if max(now - sent, sent - before) > self._longest_gap:
            self._had_gap = True
        self._heard[probe.partition_key] = max(sent, before)

    @property
    def is_behind(self) -> bool:
        """Whether the messages that arrive now may be old."""
        return self._clock() - min(self._heard.values()) > self._longest_gap

    def check(self, now: datetime) -> None:
        """Count silence from `now` on if a heartbeat may have been missed since the last check."""
        oldest = min(self._heard.values())
        for number in [number for number, sent in self._sent.items() if sent < oldest]:
            del self._sent[number]
        if self._had_gap or self.is_behind:
            self.heard_since = now
        self._had_gap = False
