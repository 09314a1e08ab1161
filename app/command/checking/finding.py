"""What a check found."""

from typing import Literal

from msgspec import Struct


class Finding(Struct, frozen=True):
    """One line of the report. `text` is what is there; `advice` says what to do if it is not well."""

    subject: str
    status: Literal["ok", "warn", "fail"]
    text: str
    advice: str | None = None


def gigabytes(count: float) -> str:
    """Return a number of bytes for people."""
    return f"{count / 1e9:,.1f} GB" if count >= 1e9 else f"{count / 1e6:,.0f} MB"


def sentence(error: object) -> str:
    """Return the text of an error as a sentence."""
    nothing = "it does not answer in time" if isinstance(error, TimeoutError) else type(error).__name__
    text = " ".join(str(error).split()).rstrip(".") or nothing
    first = text.partition(" ")[0].rstrip(":,")
    return f"{text[:1].upper() if first.isalpha() else text[:1]}{text[1:]}."  # channels.toml keeps its name
