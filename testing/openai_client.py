"""A client of OpenAI's API that keeps all of a reply: every character, when it came, what it cost and how it ended."""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypedDict

import aiohttp

from testing.events import EventParser

HTTP_OK: Final = 200
DONE: Final = "[DONE]"
NOT_OPENAI: Final = "not_openai"  # what no client of OpenAI's API would understand
JSON: Final = {"Content-Type": "application/json"}
_NOT_UNDERSTOOD: Final = (ValueError, LookupError, TypeError, AttributeError)

Clock = Callable[[], float]


@dataclass(frozen=True, slots=True)
class Choice:
    text: str
    finish_reason: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Tokens as the server counts them; the last two where it denoises and tells."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    forward_passes: int | None = None
    committed_tokens: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """Whole if it has neither `error`, which is the code that the server told, nor `lost`.

    `lost` says in words how the connection ended before the reply did; `retry_after` is in seconds; `texts` are the
    moments at which a stream's pieces of text came. Without a response there is no `status`.
    """

    status: int | None = None
    choices: Mapping[int, Choice] = field(default_factory=dict)
    error: str | None = None
    message: str = ""
    retry_after: float | None = None
    lost: str | None = None
    texts: Sequence[float] = ()
    usage: Usage = Usage()

    @property
    def begun(self) -> bool:
        """Whether any text has come."""
        return any(choice.text for choice in self.choices.values())

    @property
    def failure(self) -> str | None:
        return self.error or self.lost


async def ask(
    session: aiohttp.ClientSession,
    url: str,
    body: bytes,
    *,
    stream: bool,
    seconds: float,
    clock: Clock = time.monotonic,
) -> Reply:
    """What came of a request within so many seconds, whatever went wrong."""
    streamed = StreamedReply()
    timeout = aiohttp.ClientTimeout(total=seconds)
    try:
        async with session.post(url, data=body, headers=JSON, timeout=timeout) as response:
            if not stream or response.status != HTTP_OK:
                return whole_reply(response.status, await response.read(), response.headers.get("Retry-After"))
            parser = EventParser()
            async for piece in response.content.iter_any():
                moment = clock()
                for event in parser.push(piece):
                    streamed.add(event, moment)
            return streamed.so_far()
    except TimeoutError:
        return streamed.so_far(f"nothing more came within {seconds:g} s")
    except (aiohttp.ClientError, OSError) as error:
        return streamed.so_far(f"{type(error).__name__}: {error}")


def connected(key: str | None = None) -> aiohttp.ClientSession:
    """Without a bound on connections, showing a key if there is one; to be made inside an event loop."""
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    return aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), headers=headers)


def whole_reply(status: int, body: bytes, retry_after: str | None = None) -> Reply:
    """From the response to a request without `stream`, or to one that was refused."""
    try:
        message = _object(body)
        if status == HTTP_OK and not message.get("error"):
            choices = {one["index"]: _choice(one) for one in message["choices"]}
            return Reply(status=status, choices=choices, usage=_usage(message))
        told = _error(message)
    except _NOT_UNDERSTOOD:
        told = {"error": NOT_OPENAI, "message": repr(body)}
    return Reply(status=status, retry_after=float(retry_after) if retry_after else None, **told)


class _Error(TypedDict):
    error: str
    message: str


class StreamedReply:
    """Puts together what the events of a stream say."""

    def __init__(self) -> None:
        self._choices: dict[int, Choice] = {}
        self._texts: list[float] = []
        self._usage = Usage()
        self._error: _Error | None = None
        self._begun = self._done = False

    def add(self, event: str, moment: float = 0.0) -> None:
        """An event's payload, and when it came."""
        self._begun = True
        if event == DONE:
            self._done = True
            return
        try:
            self._take(_object(event), moment)
        except _NOT_UNDERSTOOD:
            self._error = {"error": NOT_OPENAI, "message": repr(event)}

    def _take(self, message: Mapping[str, Any], moment: float) -> None:
        if message.get("error"):
            self._error = _error(message)
        if message.get("usage"):
            self._usage = _usage(message)
        for piece in message.get("choices", ()):
            before = self._choices.get(piece["index"], Choice("", None))
            now = _choice(piece)
            self._choices[piece["index"]] = Choice(before.text + now.text, now.finish_reason or before.finish_reason)
            if now.text:
                self._texts.append(moment)

    def so_far(self, lost: str | None = None) -> Reply:
        """What it is if nothing more comes; `lost` says why."""
        if self._error:
            return Reply(status=HTTP_OK, choices=self._choices, **self._error)
        return Reply(
            status=HTTP_OK if self._begun else None,
            choices=self._choices,
            lost=None if self._done else lost or "the stream ended before the reply did",
            texts=self._texts,
            usage=self._usage,
        )


def _object(text: bytes | str) -> dict[str, Any]:
    message = json.loads(text)
    if not isinstance(message, dict):
        raise TypeError(f"not a JSON object: {text!r}")
    return message


def _error(message: Mapping[str, Any]) -> _Error:
    told = message["error"]
    return {"error": str(told.get("code") or told["type"]), "message": str(told["message"])}


def _choice(choice: Mapping[str, Any]) -> Choice:
    """Of either endpoint, whole or a piece of it; what a model says while it reasons is text too."""
    said = choice.get("message") or choice.get("delta") or {}
    text = choice.get("text") or said.get("content") or said.get("reasoning_content") or ""
    return Choice(str(text), choice.get("finish_reason"))


def _usage(message: Mapping[str, Any]) -> Usage:
    told = message.get("usage") or {}
    counts = {**told, **(told.get("completion_tokens_details") or {})}
    return Usage(**{name: counts.get(name) for name in Usage.__slots__})
