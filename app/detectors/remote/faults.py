"""What goes wrong with an inference server. Each text follows the server's address in a sentence."""


class AwayError(Exception):
    """The server cannot be reached, does not answer in time, or has changed: it is checked again later."""


class WrongAnswerError(Exception):
    """The server answered, but not with what was asked for. `status` is that of HTTP, 0 if it is success."""

    def __init__(self, text: str, status: int = 0) -> None:
        super().__init__(text)
        self.status = status
