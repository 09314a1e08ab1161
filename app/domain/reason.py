"""Why a scenario does not go on at the moment."""

from datetime import datetime
from typing import Annotated, Literal

from msgspec import Meta, Struct

ReasonCode = Literal["retrying", "no_runner", "no_feature", "no_slot", "reconnecting"]


class Reason(Struct, frozen=True):
    """What keeps a scenario from going on; it goes on by itself once that has passed."""

    code: ReasonCode
    text: str
    since: datetime
    count: Annotated[int | None, Meta(description="reconnecting: how often the source was lost")] = None
    last_frame_at: Annotated[datetime | None, Meta(description="reconnecting: when the last frame came")] = (
        None
    )
