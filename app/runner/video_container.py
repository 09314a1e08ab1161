"""Opening containers: what may be opened, by which deadline, and what is said when it fails."""


class VideoError(Exception):
    """The source cannot be opened or read. The message is for the user.

    `retryable` is false where another attempt would meet the same fault.
    """

    def __init__(self, message: str, *, retryable: bool) -> None:
        super().__init__(message)
        self.retryable = retryable


class TruncatedError(VideoError):
    """The recording ends early; every readable frame was yielded. Never retryable."""

    def __init__(self, message: str) -> None:
        super().__init__(message, retryable=False)
