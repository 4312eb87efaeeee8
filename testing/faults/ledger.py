"""The books: what became of every request, and when a router died, which excuses some of it."""

import math
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

from testing.openai_client import HTTP_OK, Reply

# What a client may be told while processes die: come again.
EXCUSED: Final = frozenset({"no_healthy_workers", "server_overloaded", "queue_timeout", "draining"})
NEWS_SECONDS: Final = 1.0  # in which everyone who was connected has noticed
EXAMPLES: Final = 10  # of each thing that must not happen that are kept


class Verdict(Enum):
    RIGHT = "answered whole and right"
    REFUSED = "told to come again before any of the reply came"
    BROKEN_OFF = "told of an error after a part of the reply had come"
    CUT = "cut off together with the router"
    LOST = "cut off without a word"
    MISTAKEN = "told of an error that nothing explains"
    WRONG = "answered with something else"


def verdict(reply: Reply, expected: Reply, *, router_died: bool) -> Verdict:
    """Of a reply, beside the one that came undisturbed; a part of it has to be the part of that one."""
    if not _agrees(reply, expected):
        return Verdict.WRONG
    if reply.lost:
        return Verdict.CUT if router_died else Verdict.LOST
    if reply.error is None:
        return Verdict.RIGHT
    says_when = reply.status == HTTP_OK or reply.retry_after is not None  # an event has no headers
    if reply.error not in EXCUSED or not says_when:
        return Verdict.MISTAKEN
    return Verdict.BROKEN_OFF if reply.begun else Verdict.REFUSED


def _agrees(reply: Reply, expected: Reply) -> bool:
    if reply.lost is None and reply.error is None:
        return reply.choices == expected.choices
    return all(
        index in expected.choices and expected.choices[index].text.startswith(choice.text)
        for index, choice in reply.choices.items()
    )


@dataclass(slots=True)
class Ledger:
    """Requests, and the attempts that clients made to have them answered."""

    asked: int = 0
    left: int = 0  # by their clients, in the middle
    unanswered: int = 0  # although the client tried again and again
    retried: int = 0
    attempts: Counter[Verdict] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    broken_off: Counter[str] = field(default_factory=Counter)
    examples: dict[Verdict, list[str]] = field(default_factory=dict)

    @property
    def right(self) -> int:
        return self.attempts[Verdict.RIGHT]

    @property
    def failed(self) -> dict[str, int]:
        """What must not happen, as far as it has."""
        counts = {each.value: self.attempts[each] for each in (Verdict.LOST, Verdict.MISTAKEN, Verdict.WRONG)}
        counts["never answered"] = self.unanswered
        return {what: count for what, count in counts.items() if count}

    def add(self, name: str, reply: Reply, expected: Reply, *, router_died: bool = False) -> Verdict:
        """Enters an attempt; `name` says which request it was, and when."""
        found = verdict(reply, expected, router_died=router_died)
        self.attempts[found] += 1
        if found is Verdict.REFUSED:
            self.refused[str(reply.error)] += 1
        elif found is Verdict.BROKEN_OFF:
            self.broken_off[str(reply.error)] += 1
        elif found is not Verdict.RIGHT:
            examples = self.examples.setdefault(found, [])
            if len(examples) < EXAMPLES:
                examples.append(f"{name}: {_said(reply)}")
        return found


def _said(reply: Reply) -> str:
    status = "no response" if reply.status is None else f"status {reply.status}"
    came = {index: (choice.text, choice.finish_reason) for index, choice in reply.choices.items()}
    return f"{status}, {reply.lost or reply.error or 'whole'} {reply.message}, {came}"


@dataclass(slots=True)
class Death:
    begun: float
    over: float = math.inf


class Deaths:
    """When a router was killed or stopped for good: what was on its connections then may be cut off.

    Spans of time, by a clock that is the event loop's.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._deaths: list[Death] = []

    def begin(self) -> Death:
        """From now on; until `end` there is no telling."""
        death = Death(self._clock())
        self._deaths.append(death)
        return death

    def end(self, death: Death) -> None:
        death.over = self._clock() + NEWS_SECONDS

    def between(self, began: float, ended: float) -> bool:
        """Whether a router died while something lasted."""
        return any(death.begun <= ended and began <= death.over for death in self._deaths)
