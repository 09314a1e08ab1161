"""Sentences of the service in the words of this command."""

OPTIONS = {
    '"timezone": "Europe/Berlin"': "--timezone Europe/Berlin",
    "The pattern `recorded_at`": "The pattern of --recorded-at",
    "VA_DATA_DIR": "--data",
    "create a scenario with that `dictionary`": "give it as -O dictionary=…",
}
"""What the service names by its settings and fields, and the option of this command that does it."""


def with_options(sentence: str) -> str:
    """Return a sentence in which options of this command stand for settings and fields of the service."""
    for theirs, ours in OPTIONS.items():
        sentence = sentence.replace(theirs, ours)
    return sentence
