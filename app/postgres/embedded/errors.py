"""The error of the embedded server, for the user."""


class EmbeddedServerError(Exception):
    """The embedded server cannot be used. The message is one line that says what to do."""
