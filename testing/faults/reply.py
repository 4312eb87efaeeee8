"""What came of one request, to the last character."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, TypedDict

HTTP_OK: Final = 200
DONE: Final = "[DONE]"
NOT_OPENAI: Final = "not_openai"  # what no client of OpenAI's API would understand
_NOT_UNDERSTOOD: Final = (ValueError, LookupError, TypeError, AttributeError)


@dataclass(frozen=True, slots=True)
class Choice:
    text: str
    finish_reason: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """Whole if it has neither `error`, which is the code that the server told, nor `lost`.

    `lost` says in words how the connection ended before the reply did; `retry_after` is in seconds.
    """

    status: int | None = None
    choices: Mapping[int, Choice]
    error: str | None = None
    message: str = ""
    retry_after: float | None = None
    lost: str | None = None

    @property
    def begun(self) -> bool:
        """Whether any text has come."""
        return any(choice.text for choice in self.choices.values())


def whole_reply(status: int, body: bytes, retry_after: str | None) -> Reply:
    """From the response to a request without `stream`, or to one that was refused."""
    try:
        message = _object(body)
        if status == HTTP_OK and "error" not in message:
            return Reply(status=status, choices={one["index"]: _choice(one) for one in message["choices"]})
        error, text = str(message["error"]["code"]), str(message["error"]["message"])
    except _NOT_UNDERSTOOD:
        error, text = NOT_OPENAI, repr(body)
    when = float(retry_after) if retry_after else None
    return Reply(status=status, choices={}, error=error, message=text, retry_after=when)


class _Error(TypedDict):
    error: str
    message: str


class StreamedReply:
    """Puts together what the events of a stream say."""

    def __init__(self) -> None:
        self._choices: dict[int, Choice] = {}
        self._error: _Error | None = None
        self._done = False

    def add(self, event: str) -> None:
        if event == DONE:
            self._done = True
            return
        try:
            self._take(_object(event))
        except _NOT_UNDERSTOOD:
            self._error = {"error": NOT_OPENAI, "message": repr(event)}

    def _take(self, message: Mapping[str, Any]) -> None:
        if "error" in message:
            self._error = {"error": str(message["error"]["code"]), "message": str(message["error"]["message"])}
        for piece in message.get("choices", ()):
            before = self._choices.get(piece["index"], Choice("", None))
            now = _choice(piece)
            self._choices[piece["index"]] = Choice(before.text + now.text, now.finish_reason or before.finish_reason)

    def so_far(self, lost: str | None = None) -> Reply:
        """What it is if nothing more comes; `lost` says why."""
        if self._error:
            return Reply(status=HTTP_OK, choices=self._choices, **self._error)
        if not self._done and lost is None:
            lost = "the stream ended before the reply did"
        return Reply(status=HTTP_OK, choices=self._choices, lost=None if self._done else lost)


def _object(text: bytes | str) -> dict[str, Any]:
    message = json.loads(text)
    if not isinstance(message, dict):
        raise TypeError(f"not a JSON object: {text!r}")
    return message


def _choice(choice: Mapping[str, Any]) -> Choice:
    """Of either endpoint, whole or a piece of it."""
    said = choice.get("message") or choice.get("delta") or {}
    return Choice(str(choice.get("text") or said.get("content") or ""), choice.get("finish_reason"))
