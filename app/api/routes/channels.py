"""Read the channels, and test them."""

from typing import Annotated
from uuid import UUID

from anyio import move_on_after, sleep
from litestar import get, post
from litestar.params import FromPath
from msgspec import Meta, Struct

from ...predictions.delivery import DeliveryState
from .. import examples
from ..http.openapi import OperationDoc, ResponseDoc
from ..http.problems import NOT_FOUND, UNAVAILABLE, ProblemError, unavailable
from ..http.requests import ApiRequest
from ..new_scenario import unknown_channel
from ..queries.deliveries import ChannelList, DeliveryInfo, add_test, find_delivery, withdraw_test
from ..queries.deliveries import list_channels as find_channels

TEST_SECONDS = 15.0
"""For the notifier to send a test: it needs at most 10 seconds and what it takes to notice the test."""

_POLL = 0.1  # seconds
_NO_NOTIFIER = (
    "No notifier has sent the test within 15 seconds. Start a process with the role `notifier`, give it the"
    " same VA_CHANNELS_FILE, and test again."
)


class ChannelTest(Struct, frozen=True):
    """What came of a test."""

    channel: str
    state: Annotated[DeliveryState, Meta(description="sent, or dead if the channel did not take it")]
    error: Annotated[str | None, Meta(description="why it did not")]
    delivery_id: Annotated[UUID, Meta(description="the `id` in the message")]


_EXAMPLE = ChannelTest("ops", "dead", "the channel answers with status 401", examples.DELIVERY.id)


@get(
    "/channels",
    doc=OperationDoc(
        id="listChannels",
        tag="notifications",
        summary="List the channels that scenarios can notify",
        responses={200: ResponseDoc("The channels.", ChannelList, examples.CHANNEL_LIST)},
    ),
)
async def get_channels(request: ApiRequest) -> ChannelList:
    """Return the channels of VA_CHANNELS_FILE, with what waits for them."""
    return ChannelList(await find_channels(request.deps.predictions, list(request.options.channels.items())))


@post(
    "/channels/{name:str}/test",
    status_code=200,
    doc=OperationDoc(
        id="testChannel",
        tag="notifications",
        summary="Send a test message to a channel",
        description="The answer tells whether the channel took it. A test is tried once.",
        responses={200: ResponseDoc("What came of the test.", ChannelTest, _EXAMPLE)},
        problems={NOT_FOUND: examples.NO_CHANNEL, UNAVAILABLE: _NO_NOTIFIER},
    ),
)
async def test_channel(request: ApiRequest, name: FromPath[str]) -> ChannelTest:
    """Return what came of it.

    Raises ProblemError: 404 if there is no such channel, 503 if no notifier sends the test in time.
    """
    if (detail := unknown_channel([name], request.options.channels)) is not None:
        raise ProblemError(NOT_FOUND, detail)
    predictions = request.deps.predictions
    test = await add_test(predictions, name)
    with move_on_after(TEST_SECONDS):
        while True:
            found = await find_delivery(predictions, test)
            if found is not None and found.state != "pending":
                return _result(found)
            await sleep(_POLL)  # the notifier, in whatever process, tells by the database alone
    await withdraw_test(predictions, test)
    raise unavailable(_NO_NOTIFIER)


def _result(test: DeliveryInfo) -> ChannelTest:
    return ChannelTest(test.channel, test.state, test.error, test.id)
