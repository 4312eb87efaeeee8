"""Where what workers denoise goes: kept until the reply is whole, or sent as it becomes readable."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

from router.http.sse import EventStream
from router.jobs import Job
from router.replies.canvas import canvas_after
from router.replies.reading import Piece
from router.replies.reply import Reply
from router.replies.usage import Usage, total
from router.schema.generation import GenerationRequest
from router.schema.responses import Canvas, Json
from router.workers.model import Model
from textdiffusion.v1 import textdiffusion_pb2 as pb


class Listener(Protocol):
    """Hears of every choice of one reply."""

    async def tell(self, job: Job, update: pb.GenerateUpdate, piece: Piece, usage: Usage) -> None:
        """Takes in what an update made readable; `usage` is that of the choice so far, without its prompt."""
        ...

    def may_begin_anew(self, job: Job) -> bool:
        """Whether the client has seen no more of a choice than its opening, if that."""
        ...

    def forget(self, job: Job) -> None:
        """Drops what it was told of a choice, which begins anew."""


class Keeper:
    """Keeps each choice until all are there."""

    def __init__(self, choices: int) -> None:
        self._pieces: list[list[Piece]] = [[] for _ in range(choices)]

    @property
    def choices(self) -> Sequence[Piece]:
        return [_joined(pieces) for pieces in self._pieces]

    async def tell(self, job: Job, update: pb.GenerateUpdate, piece: Piece, usage: Usage) -> None:
        del update, usage
        self._pieces[job.index].append(piece)

    def may_begin_anew(self, _: Job) -> bool:
        return True

    def forget(self, job: Job) -> None:
        self._pieces[job.index].clear()


class Teller:
    """Sends what becomes readable of each choice."""

    def __init__(
        self, stream: EventStream, reply: Reply, model: Model, asked: GenerationRequest, prompt_tokens: int
    ) -> None:
        self._stream = stream
        self._reply = reply
        self._model = model
        self._asked = asked
        self._prompts = Usage(prompt_tokens=prompt_tokens)
        self._usages: dict[int, Usage] = {}  # by choice
        self._opened: set[int] = set()
        self._begun: set[int] = set()  # the client has seen more of them than the opening; they cannot begin anew

    async def tell(self, job: Job, update: pb.GenerateUpdate, piece: Piece, usage: Usage) -> None:
        self._usages[job.index] = usage
        pieces = _pieces(piece, every_step=self._asked.diffusing and bool(update.committed))
        events = self._events(job.index, pieces)
        if self._asked.diffusing and events:
            canvas = canvas_after(update, self._model, self._asked.alternatives or 0)
            events = _with_canvas(events, canvas, step=len(events) - len(pieces))
        await self._stream.send(*events)

    def may_begin_anew(self, job: Job) -> bool:
        return job.index not in self._begun

    def forget(self, job: Job) -> None:
        """The opening was sent, and is not sent again."""
        self._usages.pop(job.index, None)

    def _events(self, choice: int, pieces: Sequence[Piece]) -> list[Json]:
        """The opening, unless it was sent, and an event for each piece."""
        usage = total([self._prompts, *self._usages.values()])
        opening = [] if choice in self._opened else self._reply.opening(choice, usage)
        events = [*opening, *(self._reply.chunk(choice, piece, usage) for piece in pieces)]
        if pieces:
            self._begun.add(choice)
        if events:
            self._opened.add(choice)
        return events


def _pieces(piece: Piece, *, every_step: bool) -> list[Piece]:
    """What is to be sent of it, the finish reason apart from the text: clients take it for the end of the text."""
    pieces = []
    if piece.text or piece.tokens or every_step:
        pieces.append(replace(piece, finish_reason=None))
    if piece.finish_reason:
        pieces.append(Piece("", finish_reason=piece.finish_reason))
    return pieces


def _with_canvas(events: Sequence[Json], canvas: Canvas, *, step: int) -> list[Json]:
    """All carry the canvas, but the event with index `step` alone says what was committed, which is told once."""
    bare: Canvas = {**canvas, "committed": []}
    return [{**event, "canvas": canvas if index == step else bare} for index, event in enumerate(events)]


def _joined(pieces: Sequence[Piece]) -> Piece:
    """A whole choice."""
    tokens = [token for piece in pieces for token in piece.tokens]
    return Piece("".join(piece.text for piece in pieces), tokens, pieces[-1].finish_reason)
