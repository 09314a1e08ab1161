"""How requests to a service without its databases were answered."""

from dataclasses import dataclass, field

import httpx


@dataclass
class Answers:
    """How long requests took, and which of them ended as no request may."""

    count: int = 0
    refused: int = 0
    slowest: float = 0.0
    slowest_of: str = ""
    lag: float = 0.0
    """The slowest answer that needs no database: what a busy machine adds to any."""
    wrong: list[str] = field(default_factory=list)

    def note(self, what: str, seconds: float, answer: httpx.Response) -> None:
        self.count += 1
        if what.endswith("/health/live"):
            self.lag = max(self.lag, seconds)
        if seconds > 1.9:
            print(f"{seconds:.2f} s: {what}: {answer.status_code}")
        if seconds > self.slowest:
            self.slowest, self.slowest_of = seconds, f"{what}: {answer.status_code}"
        if answer.status_code == 503 and not what.endswith("/health/ready"):
            self.refused += 1
            problem = answer.json()
            if "retry-after" not in answer.headers or "epeat" not in problem["detail"]:
                self.wrong.append(f"{what}: {problem}")
        elif answer.status_code >= 500 and answer.status_code != 503:
            self.wrong.append(f"{what}: {answer.status_code} {answer.text}")
