"""Topics on the cluster: their names, and creating those that are missing."""

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

DEAD_LETTER_SUFFIX = ".dead"

_HOUR = 3_600_000  # ms
_WEEK = 7 * 24 * _HOUR
_CREATE_TIMEOUT = 30.0  # seconds
_NOT_ALLOWED = (errors.TopicAuthorizationFailedError, errors.ClusterAuthorizationFailedError)
_INVALID = (
    errors.InvalidReplicationFactorError,
    errors.InvalidPartitionsError,
    errors.InvalidConfigurationError,
    errors.InvalidTopicError,
    errors.PolicyViolationError,
)
_NOT_YET = "fenced"  # of brokers that have just started, or were held up: they take no topics for a moment


class ClusterTopics:
    """The service's topics on a cluster. A prefix separates them from those of other services."""

    def __init__(self, admin: AIOKafkaAdminClient, prefix: str) -> None:
        self._admin = admin
        self._prefix = prefix

    def name(self, topic: Topic) -> str:
        return self._prefix + topic.name

    def dead_letter_name(self, topic: Topic) -> str:
        return self._prefix + topic.name + DEAD_LETTER_SUFFIX

    def group_id(self, topic: Topic, group: str) -> str:
        """Return the Kafka group: one for each topic, so that a rebalance of one topic stops no other."""
        return f"{self._prefix}{topic.name}.{group}"

    async def count_partitions(self, name: str) -> int:
        """Return the number of partitions of an existing topic.

        Raises:
            KafkaError: no broker answers, or a partition has no leader.
        """
        counts = _counts(await self._admin.describe_topics([name]))
        if name not in counts:
            raise errors.LeaderNotAvailableError(name)
        return counts[name]

    async def create_missing(
        self, topics: Sequence[Topic], partitions: int, replication: int
    ) -> dict[str, int]:
        """Create missing topics and dead letter topics; return the number of partitions by topic name.

        Raises:
            BusError: a topic cannot be created.
        """
        wanted = [self._new(topic, partitions, replication) for topic in topics]
        wanted += [self._new_dead_letter(topic, replication) for topic in topics]
        deadline = time.monotonic() + _CREATE_TIMEOUT
        while True:
            try:
                # All topics: asked for one by its name, a broker with auto-creation would create it.
                existing = _counts(await self._admin.describe_topics())
                missing = [new for new in wanted if new.name not in existing]
                if not missing:
                    break
                reason: object = await self._create(missing)
            except errors.KafkaError as error:
                reason = error
            if time.monotonic() > deadline:
                raise BusError(f"the topics on Kafka cannot be created: {reason}")
            await sleep(0.05)
        for topic in topics:
            have = existing[self.name(topic)]
            if have < partitions:
                log.warning(
                    "a topic has fewer partitions than configured", topic=self.name(topic), partitions=have
                )
        return existing

    async def _create(self, missing: list[NewTopic]) -> str:
        """Ask for the topics, and return why some of them may still be missing."""
        answer = await self._admin.create_topics(missing)
        not_allowed = []
        for name, code, *message in answer.topic_errors:
            kind = errors.for_code(code)
            if kind in _NOT_ALLOWED:
                not_allowed.append(name)
            elif kind in _INVALID:
                reason = str((message[0] if message else None) or kind.__name__)
                if _NOT_YET in reason:
                    return reason
                raise BusError(f"Kafka cannot create the topic {name}: {reason}")
        if not_allowed:
            names = ", ".join(sorted(not_allowed))
            raise BusError(f"Kafka does not let this user create topics: allow it, or create them: {names}")
        return "the brokers have not created them yet"

    def _new(self, topic: Topic, partitions: int, replication: int) -> NewTopic:
        if topic.groups:
            retention = {"retention.ms": str(_WEEK)}
        else:  # its consumers read only new messages
            retention = {"retention.ms": str(_HOUR), "segment.ms": str(_HOUR)}
        return NewTopic(
            self.name(topic), partitions, replication, topic_configs={**retention, **_durability(replication)}
        )

    def _new_dead_letter(self, topic: Topic, replication: int) -> NewTopic:
        configs = {"retention.ms": str(4 * _WEEK), **_durability(replication)}
        return NewTopic(self.dead_letter_name(topic), 1, replication, topic_configs=configs)


def _counts(described: list[dict[str, Any]]) -> dict[str, int]:
    return {
        topic["topic"]: len(topic["partitions"])
        for topic in described
        if topic["partitions"] and all(partition["leader"] >= 0 for partition in topic["partitions"])
    }


def _durability(replication: int) -> dict[str, str]:
    """Return settings by which the loss of one broker loses no acknowledged message.

    The time of a message is the broker's. By the publisher's clock, a message from the future would be
    refused and one from the past removed too early.
    """
    return {
        "min.insync.replicas": str(max(1, replication - 1)),
        "message.timestamp.type": "LogAppendTime",
    }
