"""What goes wrong with the local server, for the person who started it."""


class EmbeddedServerError(Exception):
    """The local server cannot be used. The message is one line that says what to do."""
