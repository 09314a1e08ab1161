"""Answers that cannot change any more, kept as they were sent.

What a completed scenario has stored is final: its last batch closed its checkpoint, which no write passes
after that, and ids are never used again. So an answer about it is right for as long as its row in the
scenarios database says that it is completed; that is looked at for every request.
"""

from collections import OrderedDict
from collections.abc import Hashable

MOST = 64 * 2**20
"""Bytes that are kept."""

_EACH = 1000  # bytes that an answer takes besides its own: what it is found by, and room in tables


class Kept:
    """The answers used last. Up to `most` bytes are kept."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._size = 0
        self._answers: OrderedDict[Hashable, bytes] = OrderedDict()

    def get(self, question: Hashable) -> bytes | None:
        """The answer to this question, if it was kept."""
        answer = self._answers.get(question)
        if answer is not None:
            self._answers.move_to_end(question)
        return answer

    def put(self, question: Hashable, answer: bytes) -> None:
        """Keep an answer, and forget those that were not used for longest."""
        if question in self._answers:
            return
        self._answers[question] = answer
        self._size += len(answer) + _EACH
        while self._size > self._most:
            _, forgotten = self._answers.popitem(last=False)
            self._size -= len(forgotten) + _EACH
