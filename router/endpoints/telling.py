"""Where what workers denoise goes: kept until the reply is whole, or sent as it becomes readable."""

from collections.abc import Sequence
from typing import Protocol

from router.http.sse import EventStream
from router.jobs import Job
from router.replies.canvas import canvas_after
from router.replies.reading import Piece
from router.replies.reply import Reply
from router.schema.generation import GenerationRequest
from router.schema.responses import Canvas, Json
from router.workers.model import Model
from textdiffusion.v1 import textdiffusion_pb2 as pb


class Listener(Protocol):
    """Hears of every choice of one reply."""

    async def tell(self, job: Job, update: pb.GenerateUpdate, piece: Piece) -> None: ...

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

    async def tell(self, job: Job, _: pb.GenerateUpdate, piece: Piece) -> None:
        self._pieces[job.index].append(piece)

    def may_begin_anew(self, _: Job) -> bool:
        return True

    def forget(self, job: Job) -> None:
        self._pieces[job.index].clear()


class Teller:
    """Sends what becomes readable of each choice."""

    def __init__(self, stream: EventStream, reply: Reply, model: Model, asked: GenerationRequest) -> None:
        self._stream = stream
        self._reply = reply
        self._model = model
        self._asked = asked
        self._opened: set[int] = set()
        self._begun: set[int] = set()  # the client has seen more of them than the opening; they cannot begin anew

    async def tell(self, job: Job, update: pb.GenerateUpdate, piece: Piece) -> None:
        events = self._events(job.index, piece)
        if self._asked.diffusing:
            events = _with_canvas(events, canvas_after(update, self._model, self._asked.alternatives or 0))
        await self._stream.send(*events)

    def may_begin_anew(self, job: Job) -> bool:
        return job.index not in self._begun

    def forget(self, job: Job) -> None:
        """Nothing: the opening was sent, and is not sent again."""

    def _events(self, choice: int, piece: Piece) -> list[Json]:
        """The opening, unless it was sent, and the piece, if there is anything in it or each step is to be seen."""
        events = [] if choice in self._opened else self._reply.opening(choice)
        if self._asked.diffusing or piece.text or piece.tokens or piece.finish_reason:
            events.append(self._reply.chunk(choice, piece))
            self._begun.add(choice)
        if events:
            self._opened.add(choice)
        return events


def _with_canvas(events: Sequence[Json], canvas: Canvas) -> list[Json]:
    """The last event carries the canvas whole; those before it without what the step committed, which is told once."""
    bare: Canvas = {**canvas, "committed": []}
    return [*({**event, "canvas": bare} for event in events[:-1]), {**events[-1], "canvas": canvas}]


def _joined(pieces: Sequence[Piece]) -> Piece:
    """A whole choice."""
    tokens = [token for piece in pieces for token in piece.tokens]
    return Piece("".join(piece.text for piece in pieces), tokens, pieces[-1].finish_reason)
