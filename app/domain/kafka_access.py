"""How a client of Kafka connects and logs in: for the bus, and for channels."""

from typing import Annotated, Literal

from msgspec import Meta

KafkaProtocol = Annotated[
    Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"],
    Meta(description="PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL"),
]
KafkaLogin = Annotated[
    Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"],
    Meta(description="PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512"),
]
"""A mechanism of SASL."""
