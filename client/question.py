"""What the server is asked: to continue a conversation, or to fill in a text."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Message = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Question:
    """A request: where it goes and what it says."""

    path: str
    body: Mapping[str, Any]

    def having(self, fields: Mapping[str, Any]) -> "Question":
        return Question(self.path, {**self.body, **fields})


def conversation(messages: Sequence[Message]) -> Question:
    return Question("chat/completions", {"messages": messages})


def infilling(prompt: str, suffix: str) -> Question:
    return Question("completions", {"prompt": prompt, "suffix": suffix})


def opening(system: str | None) -> list[Message]:
    """What a conversation begins with."""
    return [] if system is None else [message("system", system)]


def message(role: str, content: str) -> Message:
    return {"role": role, "content": content}
