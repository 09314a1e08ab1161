"""What every sender does, and how it tells that it could not."""

from typing import Protocol

from ..notification import OutgoingMessage


class SendError(Exception):
    """The channel did not take the message. The text follows "the channel" in a sentence, and has no secret.

    `is_rejected`: the channel works, and would refuse the same message again. `retry_after`: seconds for
    which the receiver asks.
    """

    def __init__(self, text: str, *, is_rejected: bool = False, retry_after: float = 0.0) -> None:
        super().__init__(text)
        self.is_rejected = is_rejected
        self.retry_after = retry_after


class Sender(Protocol):
    """Sends to one channel. Several tasks may call `send` at the same time, and any call may be cancelled."""

    async def send(self, message: OutgoingMessage) -> None:
        """Return once the receiver has acknowledged the message. Raises SendError."""

    async def close(self) -> None:
        """Close its connections."""
