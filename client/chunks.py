"""What one event of a stream tells, of a chat as of a completion."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from client.errors import RefusedError


@dataclass(frozen=True, slots=True)
class Canvas:
    """What stands at each position after one forward pass."""

    step: int  # number of the forward pass, from 1
    tokens: Sequence[str | None]  # None where it is masked
    committed: Mapping[int, float]  # by this pass: the confidence in each position, from 0 to 1


@dataclass(frozen=True, slots=True)
class Chunk:
    text: str = ""
    canvas: Canvas | None = None
    length: int | None = None  # of the whole answer in tokens, which a server tells in the end


def read_chunk(event: str) -> Chunk:
    """Raises `RefusedError`, if the event tells of an error with the server's own words."""
    try:
        content = json.loads(event)
        if content.get("error"):
            raise RefusedError(error_message(content))
        text = "".join(_text(choice) for choice in content.get("choices") or ())
        canvas, usage = content.get("canvas"), content.get("usage")
        return Chunk(text, canvas and _canvas(canvas), int(usage["completion_tokens"]) if usage else None)
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError) as error:
        raise RefusedError("the server sent an event that is none of an OpenAI-compatible server") from error


def error_message(content: object) -> str:
    """What OpenAI's error object says, or what comes closest to it."""
    error = content.get("error") if isinstance(content, dict) else None
    message = error.get("message") if isinstance(error, dict) else error
    return str(message) if message else "this is no answer of an OpenAI-compatible server"


def _text(choice: Mapping[str, Any]) -> str:
    delta = choice.get("delta") or {}
    return str(delta.get("content") or choice.get("text") or "")


def _canvas(told: Mapping[str, Any]) -> Canvas:
    return Canvas(
        step=int(told["step"]),
        tokens=[None if token is None else str(token) for token in told["tokens"]],
        committed={int(token["position"]): math.exp(min(token["logprob"], 0.0)) for token in told["committed"]},
    )
