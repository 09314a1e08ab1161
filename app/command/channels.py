"""Channels that the service notifies."""

import rich_click as click

from ..client import Client
from .completion import CHANNELS
from .connection import with_client
from .output import CommandError, json_option, print_json, print_line, print_table
from .wording import moment


@click.group("channels")
def channels() -> None:
    """List the channels for notifications, and test them.

    \b
    videoanalysis channels test ops
    """


@channels.command("ls")
@json_option
@with_client
def ls(client: Client, *, as_json: bool) -> None:
    """List the channels, with what waits and what was given up."""
    found = client.channels.list()
    if as_json:
        for each in found:
            print_json(each)
    else:
        rows = (
            (each.name, each.type, each.waiting, each.dead, moment(each.last_sent_at), each.error)
            for each in found
        )
        print_table(
            ("NAME", "TYPE", "WAITING", "DEAD", "LAST SENT", "ERROR"),
            rows,
            droppable=("LAST SENT", "TYPE", "WAITING"),
        )


@channels.command("test")
@click.argument("name", shell_complete=CHANNELS)
@json_option
@with_client
def test(client: Client, name: str, *, as_json: bool) -> None:
    """Send a test message to a channel.

    The exit code is 1 if the channel does not take it.
    """
    tried = client.channels.test(name)
    if as_json:
        print_json(tried)
    elif tried.state == "sent":
        print_line(f"{tried.channel} has taken the message {tried.delivery_id}.")
    if tried.state != "sent":
        raise CommandError(f"The channel did not take the message: {tried.error or 'no reason is known'}")
