"""Finds out what a chat template takes, by rendering words that can be found again.

Templates differ: most want the content of a message as a string, those of vision models a list of parts, and some have
no place for a system message. Jinja makes nothing of what it does not find, silently. Without this trial a template
that reads parts would be given strings, and the model would answer an empty question.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, Final, Literal

Message = Mapping[str, str]
Rendering = Callable[[list[dict[str, Any]]], str]
ContentFormat = Literal["text", "parts"]
Turn = tuple[str, ContentFormat]

FORMATS: Final[tuple[ContentFormat, ...]] = ("text", "parts")  # the first is preferred
USER: Final = "user"
ASSISTANT: Final = "assistant"
SYSTEM: Final = "system"
WORD: Final = "qvzjxkword"  # in no template, and the same after anything that a template does to words


class ChatTemplateError(Exception):
    """A chat template cannot be used; the message gives the reason."""


@dataclass(frozen=True, slots=True)
class TemplateSupport:
    """How a template takes the content of each role."""

    user: ContentFormat
    assistant: ContentFormat
    system: ContentFormat | None  # none: it refuses system messages, or loses them
    keeps_history: bool  # and not only the last message of the user

    def given(self, message: Message) -> dict[str, Any]:
        """Return the message with its content in the format that its role needs."""
        formats = {USER: self.user, ASSISTANT: self.assistant, SYSTEM: self.system}
        return in_format(message, formats.get(message["role"]) or self.user)


def in_format(message: Message, content_format: ContentFormat) -> dict[str, Any]:
    """Return the message with its content as a string, or as one part: a template may read only the first."""
    if content_format == "text":
        return dict(message)
    return {**message, "content": [{"type": "text", "text": message["content"]}]}


def try_template(render: Rendering) -> TemplateSupport:
    """Raises `ChatTemplateError` if nothing that a user says can be rendered."""
    user = _format_of_user(render)
    system = next((one for one in FORMATS if _keeps(render, (SYSTEM, one), (USER, user))), None)
    before: list[Turn] = [] if system is None or _keeps(render, (USER, user)) else [(SYSTEM, system)]
    formats = sorted(FORMATS, key=lambda one: one != user)
    assistant = next((one for one in formats if _keeps(render, *before, (USER, user), (ASSISTANT, one))), user)
    return TemplateSupport(user, assistant, system, _keeps_history(render, before, user, assistant))


def _format_of_user(render: Rendering) -> ContentFormat:
    alone: list[list[Turn]] = [[(USER, one)] for one in FORMATS]
    after_system: list[list[Turn]] = [[(SYSTEM, first), (USER, one)] for one, first in product(FORMATS, FORMATS)]
    problems = []
    for turns in (*alone, *after_system):
        problem = _problem(render, turns)
        if problem is None:
            return turns[-1][1]
        problems.append(problem)
    raise ChatTemplateError(problems[0])


def _keeps_history(render: Rendering, before: Sequence[Turn], user: ContentFormat, assistant: ContentFormat) -> bool:
    """Return whether earlier words of the user are kept; a template that refuses them says so in each request."""
    try:
        lost = _lost(render, [*before, (USER, user), (ASSISTANT, assistant), (USER, user)])
    except ChatTemplateError:
        return True
    return len(before) not in lost


def _keeps(render: Rendering, *turns: Turn) -> bool:
    return _problem(render, turns) is None


def _problem(render: Rendering, turns: Sequence[Turn]) -> str | None:
    """Return what becomes of the turns but a prompt that holds all of their words."""
    try:
        lost = _lost(render, turns)
    except ChatTemplateError as error:
        return str(error)
    return "what the user says is lost, be it given as text or as parts" if lost else None


def _lost(render: Rendering, turns: Sequence[Turn]) -> set[int]:
    """Return which turns cannot be found in the rendered prompt. Raises `ChatTemplateError`."""
    words = [f"{WORD}{number}end" for number in range(len(turns))]
    rendered = render(
        [
            in_format({"role": role, "content": word}, content_format)
            for (role, content_format), word in zip(turns, words, strict=True)
        ]
    )
    return {number for number, word in enumerate(words) if not _shows(rendered, word)}


def _shows(rendered: str, word: str) -> bool:
    """Return whether the word is there, and not just inside of a part that was printed as it is."""
    printed = re.sub(rf"""["']text["']\s*:\s*["']{word}""", "", rendered, flags=re.IGNORECASE)
    return word in printed.casefold()
