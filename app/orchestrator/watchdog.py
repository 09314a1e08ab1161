"""Whether an orchestrator would hear a heartbeat: it sends itself probes through every partition."""

import time
from collections.abc import Callable
from uuid import UUID, uuid4

import structlog
from anyio import create_task_group, sleep

from ..bus import Bus, BusUnavailableError
from ..messages import Probe, runner_heartbeats

log = structlog.get_logger(__name__)


class Watchdog:
    """Silence counts only while hearing works.

    A gap in the probes (the broker is away, the consumer is behind, this process was frozen) makes
    `was_deaf` true once, and a leader starts every lease's window anew.
    """

    def __init__(self, bus: Bus, *, interval: float, longest_gap: float) -> None:
        self._bus = bus
        self._interval = interval
        self._longest_gap = longest_gap
        self._clock: Callable[[], float] = time.monotonic
        self._me: UUID = uuid4()
        self._sent: dict[int, float] = {}
        self._heard = {key: self._clock() for key in bus.partition_keys(runner_heartbeats)}
        self._deaf = True  # until the first round: nothing was heard before this process listened

    async def probe(self) -> None:
        """Send probes until cancelled."""
        number = 0
        while True:
            number += 1
            self._sent[number] = self._clock()
            try:
                async with create_task_group() as group:
                    for key in self._heard:
                        group.start_soon(
                            self._bus.publish, runner_heartbeats, Probe(self._me, key, number), key
                        )
            except* BusUnavailableError as unavailable:  # the gap it leaves is what the probes are for
                log.warning("cannot probe", error=str(unavailable.exceptions[0]))
            await sleep(self._interval)

    def hear(self, probe: Probe) -> None:
        """Take note of a probe that came back."""
        sent = self._sent.get(probe.number)
        if probe.sender != self._me or sent is None:
            return  # another orchestrator's, or delivered a second time
        before = self._heard[probe.partition_key]
        now = self._clock()
        if max(now - sent, sent - before) > self._longest_gap:
            self._deaf = True
        self._heard[probe.partition_key] = max(sent, before)

    @property
    def is_behind(self) -> bool:
        """Whether what is heard now may be old."""
        return self._clock() - min(self._heard.values()) > self._longest_gap

    def was_deaf(self) -> bool:
        """Whether a heartbeat may have gone unheard since this was asked last, or may be now."""
        oldest = min(self._heard.values())
        for number in [number for number, sent in self._sent.items() if sent < oldest]:
            del self._sent[number]
        deaf = self._deaf or self.is_behind
        self._deaf = False
        return deaf
