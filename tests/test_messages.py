"""Messages on the wire: a reader ignores what a newer version has added."""

from typing import Any

import msgspec
import pytest

from app.messages import TOPICS, Message, Topic
from tests.bus.samples import SAMPLES

ALL = [(topic, message) for topic, messages in SAMPLES.items() for message in messages]


def names(value: object) -> str:
    return value.name if isinstance(value, Topic) else type(value).__name__


def test_there_is_a_sample_of_every_message() -> None:
    assert {topic: {type(message) for message in messages} for topic, messages in SAMPLES.items()} == {
        topic: set(topic.messages) for topic in TOPICS
    }


@pytest.mark.parametrize(("topic", "message"), ALL, ids=names)
def test_a_message_survives_the_wire(topic: Topic, message: Message) -> None:
    assert topic.decode(topic.encode(message)) == message


@pytest.mark.parametrize(("topic", "message"), ALL, ids=names)
def test_unknown_fields_are_ignored(topic: Topic, message: Message) -> None:
    data = msgspec.json.decode(topic.encode(message))
    assert topic.decode(msgspec.json.encode(with_more_fields(data))) == message


def with_more_fields(value: dict[str, Any]) -> dict[str, Any]:
    """Return the object with a field more, also in the parts that only travel on the bus."""
    more: dict[str, Any] = {**value, "added": {"by": "a newer version"}}
    for part in more.keys() & {"instance", "media"}:
        more[part] = {**more[part], "added": 1} if more[part] is not None else None
    if "runs" in more:
        more["runs"] = [[*report, "added"] for report in more["runs"]]
    return more
