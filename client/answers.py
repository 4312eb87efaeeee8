"""From a question to its answer, shown while it arrives."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, aclosing
from dataclasses import dataclass
from typing import Any, Protocol

from client.chunks import Chunk
from client.interrupts import Interrupts
from client.question import Question
from client.server import Server


class View(Protocol):
    def add(self, chunk: Chunk) -> None: ...


@dataclass(frozen=True, slots=True)
class Answers:
    """Of one server, all asked for with the same `fields` and shown in the same way, behind a prefix."""

    server: Server
    fields: Mapping[str, Any]
    interrupts: Interrupts
    view: Callable[[str], AbstractContextManager[View]]

    def to(self, question: Question, prefix: str = "") -> str:
        """The whole answer. Raises `NoAnswerError` or `KeyboardInterrupt`; what came before that stays in view."""
        return self.interrupts.run(lambda: self._shown(question.having(self.fields), prefix))

    def whole(self, question: Question) -> dict[str, Any]:
        """The server's reply as one object; shows nothing."""
        return self.interrupts.run(lambda: self.server.whole(question.having(self.fields)))

    async def _shown(self, question: Question, prefix: str) -> str:
        texts = []
        with self.view(prefix) as view:
            async with aclosing(self.server.stream(question)) as chunks:
                async for chunk in chunks:
                    texts.append(chunk.text)
                    view.add(chunk)
        return "".join(texts)
