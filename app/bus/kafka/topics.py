"""The topics on the cluster: made where they are missing, counted where they are there."""

import time
from collections.abc import Sequence
from typing import Any

import structlog
from aiokafka import errors
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from anyio import sleep

from ...messages import Topic
from .. import BusError

log = structlog.get_logger(__name__)

DEAD = ".dead"

_HOUR = 3_600_000  # ms
_WEEK = 7 * 24 * _HOUR
_PATIENCE = 30.0
_FORBIDDEN = (errors.TopicAuthorizationFailedError, errors.ClusterAuthorizationFailedError)
_IMPOSSIBLE = (
    errors.InvalidReplicationFactorError,
    errors.InvalidPartitionsError,
    errors.InvalidConfigurationError,
    errors.InvalidTopicError,
    errors.PolicyViolationError,
)


class Topics:
    """Names of the product's topics on a cluster: the prefix makes them its own."""

    def __init__(self, admin: AIOKafkaAdminClient, prefix: str) -> None:
        self._admin = admin
        self._prefix = prefix

    def name(self, topic: Topic) -> str:
        return self._prefix + topic.name

    def dead_name(self, topic: Topic) -> str:
        return self._prefix + topic.name + DEAD

    def group_id(self, topic: Topic, group: str) -> str:
        """One group of Kafka's for each topic, so that their members come and go independently."""
        return f"{self._prefix}{topic.name}.{group}"

    async def count_partitions(self, name: str) -> int:
        """How many partitions a topic that is there has.

        Raises aiokafka's KafkaError where no broker answers, or one of the partitions has no leader.
        """
        counts = _counts(await self._admin.describe_topics([name]))
        if name not in counts:
            raise errors.LeaderNotAvailableError(name)
        return counts[name]

    async def ensure(self, topics: Sequence[Topic], partitions: int, replication: int) -> dict[str, int]:
        """Make the topics that are missing, with their dead letters; return every topic's partitions by name.

        Raises BusError.
        """
        wanted = [self._new(topic, partitions, replication) for topic in topics]
        wanted += [self._new_dead(topic, replication) for topic in topics]
        deadline = time.monotonic() + _PATIENCE
        while True:
            try:
                # All of them: asked for by name, brokers that make topics by themselves would make it.
                there = _counts(await self._admin.describe_topics())
                missing = [new for new in wanted if new.name not in there]
                if not missing:
                    break
                reason: object = await self._create(missing)
            except errors.KafkaError as error:
                reason = error
            if time.monotonic() > deadline:
                raise BusError(f"the topics on Kafka cannot be made ready: {reason}")
            await sleep(0.05)
        for topic in topics:
            have = there[self.name(topic)]
            if have < partitions:
                log.warning(
                    "a topic has fewer partitions than asked for", topic=self.name(topic), partitions=have
                )
        return there

    async def _create(self, missing: list[NewTopic]) -> str:
        answer = await self._admin.create_topics(missing)
        forbidden = []
        for name, code, *message in answer.topic_errors:
            kind = errors.for_code(code)
            if kind in _FORBIDDEN:
                forbidden.append(name)
            elif kind in _IMPOSSIBLE:
                said = (message[0] if message else None) or kind.__name__
                raise BusError(f"Kafka cannot make the topic {name}: {said}")
        if forbidden:
            names = ", ".join(sorted(forbidden))
            raise BusError(f"Kafka does not let this user make topics: allow it, or make them: {names}")
        return "the brokers have not taken them over yet"

    def _new(self, topic: Topic, partitions: int, replication: int) -> NewTopic:
        if topic.groups:
            kept = {"retention.ms": str(_WEEK)}
        else:  # read from now on by all: what is older serves nobody
            kept = {"retention.ms": str(_HOUR), "segment.ms": str(_HOUR)}
        return NewTopic(
            self.name(topic), partitions, replication, topic_configs={**kept, **_safety(replication)}
        )

    def _new_dead(self, topic: Topic, replication: int) -> NewTopic:
        kept = {"retention.ms": str(4 * _WEEK)}
        return NewTopic(self.dead_name(topic), 1, replication, topic_configs={**kept, **_safety(replication)})


def _counts(described: list[dict[str, Any]]) -> dict[str, int]:
    return {
        topic["topic"]: len(topic["partitions"])
        for topic in described
        if topic["partitions"] and all(partition["leader"] >= 0 for partition in topic["partitions"])
    }


def _safety(replication: int) -> dict[str, str]:
    """An acknowledged message is on all copies but one at least, so that losing a broker loses none.

    Its time is the broker's: by its sender's clock, one that is an hour ahead would be refused, and one that
    is behind removed too early.
    """
    return {
        "min.insync.replicas": str(max(1, replication - 1)),
        "message.timestamp.type": "LogAppendTime",
    }
