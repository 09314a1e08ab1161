"""Make the sender of a channel."""

from importlib.util import find_spec
from pathlib import Path

from ...domain.channels import Channel, ChannelFileError, KafkaChannel, MqttChannel, WebhookChannel
from ...domain.networks import Networks
from .base import Sender
from .kafka import KafkaSender
from .webhook import WebhookSender


def make_sender(name: str, channel: Channel, networks: Networks) -> Sender:
    """Return what sends to a channel.

    Raises:
        ChannelFileError: a package is missing, or `ca_file` cannot be read.
    """
    _check_ca_file(name, channel)
    match channel:
        case WebhookChannel():
            return WebhookSender(channel, networks)
        case KafkaChannel():
            return KafkaSender(channel, networks)
        case MqttChannel():
            if find_spec("aiomqtt") is None:
                raise ChannelFileError(
                    f"[channels.{name}]: `type` mqtt needs a package: pip install 'videoanalysis[mqtt]'"
                )
            from .mqtt import MqttSender

            return MqttSender(channel, networks)


def _check_ca_file(name: str, channel: Channel) -> None:
    if channel.ca_file is None:
        return
    try:
        Path(channel.ca_file).read_bytes()
    except OSError as error:
        raise ChannelFileError(f"[channels.{name}]: `ca_file` cannot be read: {error.strerror}") from error
