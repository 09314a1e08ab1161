"""The operator's file of channels: what it may say, and the one line of each error."""

import pytest

from app.domain.channels import (
    ChannelFileError,
    KafkaChannel,
    MqttChannel,
    WebhookChannel,
    parse_channels,
)

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"  # noqa: S105  an example
HOOK = f'[channels.ops]\ntype = "webhook"\nurl = "https://example.org/h?x=1"\nsecret = "{SECRET}"\n'


def test_each_type_is_read_with_its_defaults() -> None:
    text = HOOK + (
        '[channels."home.1"]\ntype = "mqtt"\nurl = "mqtts://[fd00::1]:8883"\n'
        'username = "va"\npassword = "hunter2x"\n'
        '[channels.lake]\ntype = "kafka"\nservers = ["kafka-1:9092"]\ntopic = "alerts"\nconcurrency = 1\n'
    )
    assert parse_channels(text, "channels.toml") == {
        "ops": WebhookChannel(url="https://example.org/h?x=1", secret=SECRET),
        "home.1": MqttChannel(url="mqtts://[fd00::1]:8883", username="va", password="hunter2x"),
        "lake": KafkaChannel(servers=("kafka-1:9092",), topic="alerts", concurrency=1),
    }


def test_an_empty_file_has_no_channels() -> None:
    assert parse_channels("# none yet\n", "channels.toml") == {}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[channels.ops", "channels.toml is no TOML: "),
        (
            '[ops]\ntype = "mqtt"',
            "channels.toml: 'ops' is unknown: write each channel as [channels.<its name>]",
        ),
        ("channels = 3", "`channels` must hold tables"),
        ("[channels.ops]", "[channels.ops]: `type` must be webhook, mqtt, kafka"),
        ('[channels.ops]\ntype = "smtp"', "[channels.ops]: `type` must be webhook, mqtt, kafka"),
        ("[channels]\nops = 3", "[channels.ops]: `type` must be webhook, mqtt, kafka"),
        ('[channels."o p"]\ntype = "mqtt"', "[channels.o p]: a channel's name is up to 100 letters"),
        (
            HOOK.replace("secret", "sercet"),
            "[channels.ops]: `sercet` is no key of this type: did you mean `secret`?",
        ),
        (
            HOOK.partition("secret")[0],
            "[channels.ops]: `secret` is missing: it must be whsec_ and the base64",
        ),
        (
            HOOK.replace("https:", "ftp:"),
            "[channels.ops]: `url` is wrong: it must be an address like https://",
        ),
        (HOOK.replace("example.org", "example.org:99999"), "`url` has no valid host and port"),
        (HOOK.replace("example.org", "me:pw@example.org"), "`url` is wrong"),
        (HOOK.replace(SECRET, "hunter2hunter2"), "`secret` is wrong: it must be whsec_"),
        (HOOK.replace(SECRET, "whsec_MfKQ"), "`secret` must be whsec_ and the base64 form of 24 to 64"),
        (HOOK.replace(SECRET, SECRET + "A"), "`secret` must be whsec_ and the base64 form of 24 to 64"),
        (HOOK + "concurrency = 0", "`concurrency` is wrong: it must be a whole number from 1 to 64"),
        (
            '[channels.x]\ntype = "mqtt"\nurl = "mqtt://x"\ntopic = "a/#"',
            "`topic` is wrong: it must be up to 200",
        ),
        ('[channels.x]\ntype = "mqtt"\nurl = "mqtt://x"\npassword = "abc"', "`password` needs a `username`"),
        (
            '[channels.x]\ntype = "kafka"\nservers = []\ntopic = "a"',
            "`servers` is wrong: it must be a list like",
        ),
        (
            '[channels.x]\ntype = "kafka"\nservers = ["k:1"]\ntopic = "a"\nsecurity_protocol = "SASL_SSL"',
            "`security_protocol` SASL_SSL needs `username` and `password`",
        ),
    ],
)
def test_an_error_is_one_line_with_file_table_and_key_and_without_secrets(text: str, said: str) -> None:
    with pytest.raises(ChannelFileError) as caught:
        parse_channels(text, "channels.toml")
    message = str(caught.value)
    assert message.startswith("channels.toml")
    assert said in message
    assert "\n" not in message
    assert not any(secret in message for secret in (SECRET, "hunter2", "MfKQ", "me:pw"))


def test_secrets_are_told_for_the_logs_and_not_shown() -> None:
    channels = parse_channels(HOOK, "channels.toml")
    assert list(channels["ops"].secrets()) == ["https://example.org/h?x=1", SECRET]
    assert SECRET not in repr(channels)
    assert "example.org" not in repr(channels)
