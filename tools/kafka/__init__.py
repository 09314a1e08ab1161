"""Apache Kafka on this machine, for development and tests. Needs Java and Maven."""


class KafkaToolError(Exception):
    """The broker cannot run. The text is one line for the user."""
