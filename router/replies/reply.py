"""What all replies have in common, whichever path they answer."""

import secrets
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

from router.replies.reading import Piece
from router.replies.usage import Usage
from router.schema.generation import GenerationRequest
from router.schema.responses import Json
from router.workers.model import Model


class Reply(ABC):
    """Makes the messages about one request.

    With `stream_options.include_usage` every chunk but the last says that its usage is null or, with
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
        self._id = f"{self.prefix}-{secrets.token_hex(16)}"
        self._created = int(time.time())

    def whole(self, choices: Sequence[Piece], usage: Usage) -> Json:
        listed = [self._choice(index, choice) for index, choice in enumerate(choices)]
        return self._message(self.whole_kind, choices=listed, usage=usage.as_object())

    def opening(self, index: int, usage: Usage) -> list[Json]:
        """What is sent of a choice before its first piece; `usage` is that of the reply so far."""
        del index, usage
        return []

    def chunk(self, index: int, piece: Piece, usage: Usage) -> Json:
        return self._chunk(self._delta(index, piece), usage)

    def usage_chunk(self, usage: Usage) -> Json:
        """The last event, for those who asked for it."""
        return self._message(self.chunk_kind, choices=[], usage=usage.as_object())

    @abstractmethod
    def _choice(self, index: int, choice: Piece) -> Json: ...

    @abstractmethod
    def _delta(self, index: int, piece: Piece) -> Json: ...

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
