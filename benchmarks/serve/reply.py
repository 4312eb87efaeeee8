"""What a server says, whole or event by event, in OpenAI's words; whatever else it says counts as a failure."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

HTTP_OK = 200
DONE = "[DONE]"
NOT_OPENAI = "not_openai"  # a reply that no client of OpenAI's API would understand
CUT_OFF = "cut_off"  # a stream that ended without saying so


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Tokens as the server counts them; the last two where it denoises and tells."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    forward_passes: int | None = None
    committed_tokens: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What came of a request: `error` is none if it was answered to the end.

    `status` is none if there was no HTTP response; `texts` are the moments at which a stream's pieces of text came, in
    seconds since the load began.
    """

    status: int | None
    error: str | None = None
    message: str = ""
    texts: Sequence[float] = ()
    finish_reason: str | None = None
    usage: Usage = Usage()


def whole_reply(status: int, body: bytes) -> Reply:
    """From the response to a request without `stream`."""
    message = _json(body)
    if message.get("error") or status != HTTP_OK:
        return _refusal(status, message)
    choice = _choice(message)
    if choice is None:
        return Reply(status=status, error=NOT_OPENAI, message="no choices in the reply")
    return Reply(status=status, finish_reason=choice.get("finish_reason"), usage=_usage(message))


class StreamedReply:
    """The reply that a stream's events make, one after the other."""

    def __init__(self, status: int) -> None:
        self._status = status
        self._texts: list[float] = []
        self._finish_reason: str | None = None
        self._usage = Usage()
        self._failure: Reply | None = None
        self._done = False

    def add(self, event: str, moment: float) -> None:
        """An event's payload, and when it came."""
        if event == DONE:
            self._done = True
            return
        message = _json(event)
        if message.get("error"):
            self._failure = self._failure or _refusal(self._status, message)
            return
        if message.get("usage"):
            self._usage = _usage(message)
        choice = _choice(message) or {}
        if _text(choice):
            self._texts.append(moment)
        self._finish_reason = choice.get("finish_reason") or self._finish_reason

    def ended(self) -> Reply:
        """The connection will say no more."""
        if self._failure:
            return self._failure
        if not self._done and self._finish_reason is None:
            return Reply(status=self._status, error=CUT_OFF, message="the stream ended before the reply did")
        return Reply(
            status=self._status, texts=tuple(self._texts), finish_reason=self._finish_reason, usage=self._usage
        )


def _json(text: bytes | str) -> dict[str, Any]:
    try:
        message = json.loads(text)
    except (ValueError, RecursionError):
        message = None
    return message if isinstance(message, dict) else {"error": {"code": NOT_OPENAI, "message": "not a JSON object"}}


def _refusal(status: int, message: dict[str, Any]) -> Reply:
    error = message.get("error")
    if not isinstance(error, dict):
        error = {"message": error or message.get("message") or message.get("detail") or ""}
    code = error.get("code") or error.get("type") or "unnamed"
    return Reply(status=status, error=str(code), message=str(error.get("message") or ""))


def _choice(message: dict[str, Any]) -> dict[str, Any] | None:
    choices = message.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices else None
    return choice if isinstance(choice, dict) else None


def _text(choice: dict[str, Any]) -> str:
    """Of a chunk of either endpoint; what a model says while it reasons is text too."""
    delta = choice.get("delta")
    if not isinstance(delta, dict):
        return str(choice.get("text") or "")
    return str(delta.get("content") or delta.get("reasoning_content") or "")


def _usage(message: dict[str, Any]) -> Usage:
    told = message.get("usage")
    counts = told if isinstance(told, dict) else {}
    details = counts.get("completion_tokens_details")
    all_counts = {**counts, **details} if isinstance(details, dict) else counts
    named = {name: all_counts.get(name) for name in Usage.__slots__}
    return Usage(**{name: count for name, count in named.items() if isinstance(count, int)})
