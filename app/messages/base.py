"""The base of all messages."""

from msgspec import Struct


class Message(Struct, frozen=True, tag_field="type", tag=True):
    """Base of everything that travels on the bus."""
