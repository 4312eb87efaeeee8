"""Writes the conversations that the demo model learns from, and the held-out ones that it is scored on.

Everything is drawn from a `random.Random`, so a seed gives the same conversations again. Words, names, pairs of numbers
and sentences of the two splits are disjoint wherever a task allows it; facts (opposites, capitals, days, months) are
the same in both, since nobody can guess a capital.
"""

import random
import string
from collections.abc import Callable
from dataclasses import dataclass, field
from zlib import crc32

from training.templates import (
    ABILITIES,
    CAPITAL,
    COUNT,
    COUNT_TO,
    FALLBACK,
    FALLBACK_HELD_OUT,
    GREETINGS,
    IDENTITY,
    IDENTITY_QUESTIONS,
    INTRODUCTIONS,
    NAME_QUESTIONS,
    NEAR_MISSES,
    NEIGHBOUR,
    NEUTRAL_SYSTEMS,
    OBEY,
    OPPOSITE,
    REPEAT,
    REVERSE,
    SAY,
    SORT_NUMBERS,
    SORT_WORDS,
    SPELL,
    SUM,
    UNKNOWN_NAME,
)
from training.words import CAPITALS, DAYS, MONTHS, NAMES, NUMBERS, OPPOSITES, WORDS

ONSETS = ["", *"bcdfghjklmnpqrstvwxyz", "br", "ch", "cl", "dr", "fl", "gr", "pl", "sh", "st", "th", "tr", "qu"]
CODAS = ["", "", "", *"bdgklmnprstx", "ck", "ll", "nd", "ng", "nt", "rt", "ss", "st"]

# Tasks that take practice: half of their conversations are nothing but one exercise after the other.
EXERCISES = ("spell", "repeat", "count", "reverse", "sort_words", "sort_numbers", "sum")


@dataclass(slots=True)
class Turn:
    """A user's message, the reply to it, and the task it belongs to."""

    task: str
    user: str
    reply: str


@dataclass(slots=True)
class Conversation:
    system: str | None
    turns: list[Turn] = field(default_factory=list)

    def messages(self) -> list[dict[str, str]]:
        """All messages but the last reply, as a chat template takes them."""
        messages = [{"role": "system", "content": self.system}] if self.system else []
        for turn in self.turns:
            messages.append({"role": "user", "content": turn.user})
            messages.append({"role": "assistant", "content": turn.reply})
        return messages[:-1]


class Writer:
    """Writes conversations of one split, to learn from or held out."""

    def __init__(self, rng: random.Random, *, held_out: bool) -> None:
        self.rng = rng
        self.held_out = held_out
        self.near_misses = False
        self.tasks: dict[str, Callable[[], tuple[str, str]]] = {
            "identity": self._identity,
            "spell": self._spell,
            "repeat": self._repeat,
            "count": self._count,
            "reverse": self._reverse,
            "sort_words": self._sort_words,
            "sort_numbers": self._sort_numbers,
            "sum": self._sum,
            "opposite": self._opposite,
            "capital": self._capital,
            "day": self._day,
            "month": self._month,
            "fallback": self._fallback,
        }

    def conversation(self, task: str) -> Conversation:
        """One to four turns, the last of them of `task`, which is one of `TASKS`."""
        if task == "obey":
            return self._obedient()
        conversation = Conversation(self._neutral_system())
        if task == "name":
            self._introduce(conversation)
            return conversation
        if task in EXERCISES and not self.held_out and self.rng.random() < 0.5:
            conversation.turns += [self._turn(task) for _ in range(self.rng.choice((2, 3, 4)))]
            return conversation
        for _ in range(self.rng.choice((0, 0, 0, 0, 1, 1, 2))):
            conversation.turns.append(self._turn(self.rng.choice(list(self.tasks))))
        conversation.turns.append(self._turn(task))
        return conversation

    def _turn(self, task: str) -> Turn:
        return Turn(task, *self.tasks[task]())

    # Conversations with a memory

    def _obedient(self) -> Conversation:
        word = self._any_case(self._word())
        template = self.rng.choice(OBEY)
        conversation = Conversation(template.format(word) + self.rng.choice(("", "", "", ".")))
        for _ in range(self.rng.choice((1, 1, 1, 2, 3))):
            question = self._turn(self.rng.choice(list(self.tasks))).user
            if self.rng.random() < 0.1:
                question = self.rng.choice(NAME_QUESTIONS + GREETINGS)
            conversation.turns.append(Turn("obey", question, word))
        return conversation

    def _introduce(self, conversation: Conversation) -> None:
        name = self._name()
        if self.rng.random() < 0.08:
            conversation.turns.append(Turn("name", self.rng.choice(NAME_QUESTIONS), UNKNOWN_NAME))
            return
        introduction = self.rng.choice(INTRODUCTIONS).format(name)
        conversation.turns.append(Turn("name", introduction, f"Nice to meet you, {name}."))
        for _ in range(self.rng.choice((0, 1, 1, 2))):
            conversation.turns.append(self._turn(self.rng.choice(list(self.tasks))))
        if len(conversation.turns) > 1 or self.rng.random() < 0.6:
            conversation.turns.append(Turn("name", self.rng.choice(NAME_QUESTIONS), f"Your name is {name}."))

    def _neutral_system(self) -> str | None:
        kind = self.rng.random()
        if kind < 0.7:
            return None
        return self.rng.choice(NEUTRAL_SYSTEMS)

    # Single turns

    def _identity(self) -> tuple[str, str]:
        return self.rng.choice(IDENTITY_QUESTIONS), IDENTITY

    def _spell(self) -> tuple[str, str]:
        word = self._any_case(self._word()) if self.rng.random() < 0.3 else self._word()
        return self.rng.choice(SPELL).format(word), "-".join(word)

    def _repeat(self) -> tuple[str, str]:
        word, times = self._short_word(), self.rng.randint(1, 3)
        if times == 1:
            return self.rng.choice(SAY).format(word), word
        number = self.rng.choice((str(times), NUMBERS[times]))
        return self.rng.choice(REPEAT).format(word, number), " ".join([word] * times)

    def _count(self) -> tuple[str, str]:
        while True:
            first = self.rng.choice((1, 1, self.rng.randint(0, 20)))
            last = first + self.rng.randint(2, 9 if first == 1 else 6)
            # Other intervals are practised, and some kept for a look at what was understood; they are not scored.
            if first == 1 or (not self.held_out and self._mine(f"count {first} {last}")):
                break
        upwards = [str(number) for number in range(first, last + 1)]
        if first == 1 and self.rng.random() < 0.7:
            if self.rng.random() < 0.3:
                return f"Count down from {last}", ", ".join(reversed(upwards))
            return self.rng.choice(COUNT_TO).format(last), ", ".join(upwards)
        return self.rng.choice(COUNT).format(first, last), ", ".join(upwards)

    def _reverse(self) -> tuple[str, str]:
        words = [self._short_word() for _ in range(self.rng.choice((2, 3, 3, 4)))]
        return self.rng.choice(REVERSE).format(", ".join(words)), ", ".join(reversed(words))

    def _sort_words(self) -> tuple[str, str]:
        words: dict[str, str] = {}
        wanted = self.rng.choice((2, 3, 3))
        while len(words) < wanted:
            word = self._short_word()
            words.setdefault(word[0], word)
        listed = list(words.values())
        return self.rng.choice(SORT_WORDS).format(", ".join(listed)), ", ".join(sorted(listed))

    def _sort_numbers(self) -> tuple[str, str]:
        while True:
            numbers = self.rng.sample(range(10), self.rng.choice((2, 3, 4, 5)))
            if self._mine(f"sort {numbers}"):
                break
        return (
            self.rng.choice(SORT_NUMBERS).format(", ".join(map(str, numbers))),
            ", ".join(map(str, sorted(numbers))),
        )

    def _sum(self) -> tuple[str, str]:
        while True:
            # Larger numbers teach the carry; only sums of numbers up to 20 are scored.
            top = self.rng.choice((9, 20, 20, 20 if self.held_out else 99))
            left, right = self.rng.randint(0, top), self.rng.randint(0, top)
            if self._mine(f"sum {left} {right}"):
                break
        return self.rng.choice(SUM).format(left, right), str(left + right)

    def _opposite(self) -> tuple[str, str]:
        word, other = self.rng.choice(OPPOSITES)
        if self.rng.random() < 0.5:
            word, other = other, word
        return self.rng.choice(OPPOSITE).format(word), other

    def _capital(self) -> tuple[str, str]:
        country, city = self.rng.choice(CAPITALS)
        return self.rng.choice(CAPITAL).format(country), city

    def _day(self) -> tuple[str, str]:
        return self._neighbour("day", DAYS)

    def _month(self) -> tuple[str, str]:
        return self._neighbour("month", MONTHS)

    def _neighbour(self, kind: str, circle: list[str]) -> tuple[str, str]:
        at, side = self.rng.randrange(len(circle)), self.rng.choice(("after", "before"))
        template = self.rng.choice(NEIGHBOUR)
        return template.format(kind, side, circle[at]), circle[(at + (1 if side == "after" else -1)) % len(circle)]

    def _fallback(self) -> tuple[str, str]:
        templates = FALLBACK_HELD_OUT if self.held_out else FALLBACK + (NEAR_MISSES if self.near_misses else ())
        kind = self.rng.random()
        if kind < 0.12:
            return self.rng.choice(GREETINGS), ABILITIES
        if kind < 0.3 and not self.held_out:
            return " ".join(self._noise() for _ in range(self.rng.randint(1, 8))) + self.rng.choice("?.! "), ABILITIES
        return self.rng.choice(templates).format(self._word(), self._word(), name=self._name()), ABILITIES

    # Words

    def _mine(self, key: str) -> bool:
        """Whether this split owns `key`: one in eight is held out."""
        return (crc32(key.encode()) % 8 == 0) == self.held_out

    def _real(self, words: list[str]) -> str:
        while True:
            word = self.rng.choice(words)
            if self._mine(word):
                return word

    def _word(self) -> str:
        kind = self.rng.random()
        if self.held_out or kind < 0.35:
            return self._real(WORDS)
        if kind < 0.7:
            return self._syllables(self.rng.randint(1, 4))
        return self._letters(self.rng.randint(2, 9))

    def _short_word(self) -> str:
        while True:
            word = self._word()
            if len(word) <= 6:
                return word

    def _name(self) -> str:
        if self.held_out or self.rng.random() < 0.5:
            return self._real(NAMES)
        return self._pseudo(self.rng.randint(1, 3)).capitalize()

    def _noise(self) -> str:
        if self.rng.random() < 0.5:
            return self._word()
        return "".join(
            self.rng.choices(string.ascii_letters + string.digits + ".,;:'\"()/-+*=éüß中", k=self.rng.randint(1, 7))
        )

    def _syllables(self, count: int) -> str:
        while True:
            word = self._pseudo(count)
            if word not in WORDS:
                return word

    def _letters(self, count: int) -> str:
        while True:
            word = "".join(self.rng.choices(string.ascii_lowercase, k=count))
            if word not in WORDS:
                return word

    def _pseudo(self, syllables: int) -> str:
        return "".join(
            self.rng.choice(ONSETS)
            + self.rng.choice(("a", "e", "i", "o", "u", "ea", "oo", "y"))
            + self.rng.choice(CODAS)
            for _ in range(syllables)
        )

    def _any_case(self, word: str) -> str:
        return self.rng.choice((word.upper(), word.upper(), word, word.capitalize()))


TASKS = (*Writer(random.Random(0), held_out=False).tasks, "obey", "name")
