"""From what is generated to the messages of an API; nothing in here knows of HTTP."""

import secrets
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, ClassVar

from router.generation.output import ChoiceDelta
from router.generation.usage import Usage
from router.replies.canvas import canvas_after
from router.schema.generation import GenerationRequest
from router.schema.responses import Canvas, Json
from router.workers.model import Model


class Responder(ABC):
    """Makes the messages that answer one request: one body, or the events of a stream.

    With `stream_options.include_usage` every event but the last says that its usage is null or, with
    `continuous_usage_stats`, what the reply has cost so far.
    """

    prefix: ClassVar[str]
    whole_kind: ClassVar[str]
    chunk_kind: ClassVar[str]

    def __init__(self, model: Model, asked: GenerationRequest) -> None:
        self._model = model
        self._alternatives = asked.alternatives
        self._include_usage = asked.include_usage
        self._continuous_usage = asked.continuous_usage
        self._with_canvas = asked.diffusing
        self._id = f"{self.prefix}-{secrets.token_hex(16)}"
        self._created = int(time.time())
        self._opened: set[int] = set()

    def body(self, choices: Sequence[ChoiceDelta], usage: Usage) -> Json:
        """Return the whole reply; `choices` are in their order."""
        listed = [self._choice(choice) for choice in choices]
        return self._message(self.whole_kind, choices=listed, usage=usage.as_object())

    def events(self, delta: ChoiceDelta) -> list[Json]:
        """Return what a stream tells of `delta`: first the opening of its choice, unless that was sent."""
        opening = [] if delta.index in self._opened else self._opening(delta.index, delta.usage)
        events = [*opening, *(self._chunk(self._delta(part), delta.usage) for part in self._parts(delta))]
        if events:
            self._opened.add(delta.index)
        if self._with_canvas and events and delta.update:
            canvas = canvas_after(delta.update, self._model, self._alternatives or 0)
            return _add_canvas(events, canvas, step=len(opening))
        return events

    def last_events(self, usage: Usage) -> list[Json]:
        """Return what ends a stream, for those who asked for the usage."""
        if not self._include_usage:
            return []
        return [self._message(self.chunk_kind, choices=[], usage=usage.as_object())]

    @abstractmethod
    def _choice(self, choice: ChoiceDelta) -> Json: ...

    @abstractmethod
    def _delta(self, delta: ChoiceDelta) -> Json: ...

    def _opening(self, index: int, usage: Usage) -> list[Json]:
        """Return what is sent of a choice before its first delta; `usage` is that of the reply so far."""
        del index, usage
        return []

    def _parts(self, delta: ChoiceDelta) -> list[ChoiceDelta]:
        """Return what is to be sent of it, the finish reason apart: clients take it for the end of the text."""
        parts = []
        if delta.has_content(with_canvas=self._with_canvas):
            parts.append(replace(delta, finish_reason=None))
        if delta.finish_reason:
            parts.append(replace(delta, text="", tokens=()))
        return parts

    def _chunk(self, choice: Json, usage: Usage) -> Json:
        message = self._message(self.chunk_kind, choices=[choice])
        if self._include_usage:
            message["usage"] = usage.as_object() if self._continuous_usage else None
        return message

    def _message(self, kind: str, **fields: Any) -> Json:
        return {
            "id": self._id,
            "object": kind,
            "created": self._created,
            "model": self._model.id,
            "system_fingerprint": self._model.system_fingerprint,
            **fields,
        }


def _add_canvas(events: Sequence[Json], canvas: Canvas, *, step: int) -> list[Json]:
    """Add the canvas to all; the event with index `step` alone says what was committed, which is told once."""
    bare: Canvas = {**canvas, "committed": []}
    return [{**event, "canvas": canvas if index == step else bare} for index, event in enumerate(events)]
