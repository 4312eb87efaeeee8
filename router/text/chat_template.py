"""Renders conversations with a model's chat template, each message in the form that the template takes."""

import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import jinja2

from router.errors import InvalidValueError
from router.text.bounded import OverdueError, run_within
from router.text.template_trial import SYSTEM, USER, ChatTemplateError, Message, try_template

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

TRIAL_SECONDS: Final = 10.0
RENDERING_SECONDS: Final = 10.0
DIGITS: Final = 30  # of a marker: more than anybody can guess, and the same in capitals
MAX_REASON_CHARACTERS: Final = 500  # a template may quote a whole message
BETWEEN_SYSTEM_AND_USER: Final = "\n\n"
TRIMMED: Final = "\v"  # a blank that templates do not write themselves: it is missing where they trim


@dataclass(frozen=True, slots=True)
class PromptEnd:
    """How a conversation's prompt ends: with the header of a reply, with its last message, or in the middle of that."""

    generation_prompt: bool = True  # as far as the template lets one choose
    continues: bool = False  # the last message, which gets no end


REPLY_FOLLOWS: Final = PromptEnd()


class ChatTemplate:
    """One template, and what it was found to take when it was loaded."""

    def __init__(self, tokenizer: "PreTrainedTokenizerFast", source: str) -> None:
        """Raises `ChatTemplateError` if nothing that a user says can be rendered."""
        self._tokenizer = tokenizer
        self._source = source
        try:
            self.support = run_within(TRIAL_SECONDS, lambda: try_template(self._apply))
        except OverdueError as error:
            raise ChatTemplateError(f"it takes longer than {TRIAL_SECONDS:g} s for a message") from error

    def render(self, messages: Sequence[Message], end: PromptEnd = REPLY_FOLLOWS, *, bounded: bool = True) -> str:
        """Return the prompt of a conversation; one that continues ends with the words of its last message.

        Raises `InvalidValueError` for whatever goes wrong. Without `bounded` nothing stops a template that never ends.
        """
        try:
            messages = self._arranged(messages)
            if end.continues:
                return self._rendered_open(messages, bounded=bounded)
            return self._rendered(messages, bounded=bounded, generation_prompt=end.generation_prompt)
        except ChatTemplateError as error:
            raise InvalidValueError(
                f"messages: this model's chat template cannot render them: {error}", param="messages"
            ) from error

    def _arranged(self, messages: Sequence[Message]) -> Sequence[Message]:
        arranged = list(_without_system(messages)) if self.support.system is None else messages
        if not self.support.keeps_history and sum(message["role"] == USER for message in arranged) > 1:
            raise ChatTemplateError("it keeps one message of the user, and would lose the others")
        return arranged

    def _rendered_open(self, messages: Sequence[Message], *, bounded: bool) -> str:
        *before, last = messages
        words = last["content"] if last["content"].strip() else ""
        marker = new_marker()
        marked = {**last, "content": f"{words}{marker}{TRIMMED}"}
        head, found, tail = self._rendered([*before, marked], bounded=bounded).rpartition(marker)
        blanks = words[len(words.rstrip()) :]
        if not found or not head.endswith(words.lstrip()):
            raise ChatTemplateError("the last message cannot be continued, for it is changed or left out")
        return head if tail.startswith(TRIMMED) else head.removesuffix(blanks)

    def _rendered(self, messages: Sequence[Message], *, bounded: bool, generation_prompt: bool = False) -> str:
        given = [self.support.given(message) for message in messages]
        if not bounded:
            return self._apply(given, generation_prompt=generation_prompt)
        try:
            return run_within(RENDERING_SECONDS, lambda: self._apply(given, generation_prompt=generation_prompt))
        except OverdueError as error:
            raise ChatTemplateError(f"it takes longer than {RENDERING_SECONDS:g} s") from error

    def _apply(self, messages: list[dict[str, Any]], *, generation_prompt: bool = True) -> str:
        try:
            rendered = self._tokenizer.apply_chat_template(
                messages,
                chat_template=self._source,
                tokenize=False,
                add_generation_prompt=generation_prompt,
            )
        except OverdueError:
            raise
        except Exception as error:  # a template is a program, and may fail in any way
            raise ChatTemplateError(_reason(error)) from error
        return str(rendered)


def chat_template_of(tokenizer: "PreTrainedTokenizerFast") -> str | None:
    """Return the template that comes with a tokenizer, if any. Raises `ChatTemplateError`."""
    if not tokenizer.chat_template:
        return None
    try:
        return str(tokenizer.get_chat_template())
    except ValueError as error:
        names = ", ".join(sorted(tokenizer.chat_template))
        raise ChatTemplateError(f"there are templates called {names}, and none called default") from error


def new_marker() -> str:
    """Return a text that no user can have written, and that a template which changes case leaves alone."""
    return str(10**DIGITS + secrets.randbelow(10**DIGITS))


def _without_system(messages: Sequence[Message]) -> Iterator[Message]:
    """Put what the system says before the next words of the user, or in their place if none come next."""
    waiting: list[str] = []
    for message in messages:
        if message["role"] == SYSTEM:
            waiting.append(message["content"])
        elif message["role"] == USER:
            yield {**message, "content": _joined([*waiting, message["content"]])}
            waiting = []
        else:
            yield from _as_user(waiting)
            yield message
            waiting = []
    yield from _as_user(waiting)


def _as_user(texts: Sequence[str]) -> Iterator[Message]:
    if texts:
        yield {"role": USER, "content": _joined(texts)}


def _joined(texts: Sequence[str]) -> str:
    """Return the last text as it is, with those of the others before it that say anything."""
    *before, last = texts
    return BETWEEN_SYSTEM_AND_USER.join([*(text for text in before if text.strip()), last])


def _reason(error: Exception) -> str:
    """Return what a template raises for its users as it is, and any other failure with its kind."""
    if type(error) is jinja2.TemplateError and error.message:
        reason = str(error.message)
    elif isinstance(error, jinja2.TemplateSyntaxError):
        reason = f"line {error.lineno}: {error.message}"
    else:
        reason = f"{type(error).__name__}: {error}"
    return reason if len(reason) <= MAX_REASON_CHARACTERS else f"{reason[:MAX_REASON_CHARACTERS]}…"
