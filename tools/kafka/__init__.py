"""Apache Kafka on this machine, for development and tests: Java and Maven are all it needs."""


class KafkaError(Exception):
    """The broker cannot run; the text is one line for the user."""
