"""Answers that cannot change any more, kept as they were sent.

What a completed scenario has stored is final: its last batch closed its checkpoint, which no write passes
after that, and ids are never used again. So an answer about it is right for as long as its row in the
scenarios database says that it is completed; that is looked at for every request.
"""

from collections import OrderedDict, defaultdict
from uuid import UUID

MOST = 64 * 2**20
"""Bytes that are kept."""

_EACH = 1000  # bytes that an answer takes besides its own and those of its question: room in tables


class ResponseCache:
    """The answers used last. Up to `most` bytes are kept."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._size = 0
        self._answers: OrderedDict[tuple[UUID, bytes], bytes] = OrderedDict()
        self._questions: defaultdict[UUID, set[bytes]] = defaultdict(set)

    def get(self, scenario_id: UUID, question: bytes) -> bytes | None:
        """The answer to this question about a scenario, if it was kept."""
        answer = self._answers.get((scenario_id, question))
        if answer is not None:
            self._answers.move_to_end((scenario_id, question))
        return answer

    def put(self, scenario_id: UUID, question: bytes, answer: bytes) -> None:
        """Keep an answer, and forget those that were not used for longest."""
        if (scenario_id, question) in self._answers:
            return
        self._answers[scenario_id, question] = answer
        self._questions[scenario_id].add(question)
        self._size += len(question) + len(answer) + _EACH
        while self._size > self._most:
            self._remove(*next(iter(self._answers)))

    def forget(self, scenario_id: UUID) -> None:
        """Make room: nobody will ask about this scenario again, or no more be answered the same."""
        for question in tuple(self._questions.get(scenario_id, ())):
            self._remove(scenario_id, question)

    def _remove(self, scenario_id: UUID, question: bytes) -> None:
        self._size -= len(question) + len(self._answers.pop((scenario_id, question))) + _EACH
        questions = self._questions[scenario_id]
        questions.remove(question)
        if not questions:
            del self._questions[scenario_id]
