"""Where what workers denoise goes: kept until the reply is whole, or sent as it becomes readable."""

from collections.abc import Sequence
from typing import Protocol

from router.http.sse import EventStream
from router.jobs import Job
from router.replies.canvas import canvas_after
from router.replies.reading import Piece
from router.replies.reply import Reply
from router.schema.generation import GenerationRequest
from router.workers.model import Model
from textdiffusion.v1 import textdiffusion_pb2 as pb


class Listener(Protocol):
    """Hears of every choice of one reply."""

    async def tell(self, job: Job, update: pb.GenerateUpdate, piece: Piece) -> None: ...

    def take_back(self, job: Job) -> bool:
        """Forgets what it was told of a choice, which may then begin anew; False if the client has heard of it."""
        ...


class Keeper:
    """Keeps each choice until all are there."""

    def __init__(self, choices: int) -> None:
        self._pieces: list[list[Piece]] = [[] for _ in range(choices)]

    @property
    def choices(self) -> Sequence[Piece]:
        return [_joined(pieces) for pieces in self._pieces]

    async def tell(self, job: Job, _: pb.GenerateUpdate, piece: Piece) -> None:
        self._pieces[job.index].append(piece)

    def take_back(self, job: Job) -> bool:
        self._pieces[job.index].clear()
        return True


class Teller:
    """Sends what becomes readable of each choice."""

    def __init__(self, stream: EventStream, reply: Reply, model: Model, asked: GenerationRequest) -> None:
        self._stream = stream
        self._reply = reply
        self._model = model
        self._asked = asked
        self._opened: set[int] = set()
        self._begun: set[int] = set()  # of which more was told than that they are there

    async def tell(self, job: Job, update: pb.GenerateUpdate, piece: Piece) -> None:
        events = [] if job.index in self._opened else [*self._reply.opening(job.index)]
        if self._asked.diffusing or piece.text or piece.tokens or piece.finish_reason:
            events.append(self._reply.chunk(job.index, piece))
            self._begun.add(job.index)
        if events:
            self._opened.add(job.index)
        if self._asked.diffusing:
            canvas = canvas_after(update, self._model, self._asked.alternatives or 0)
            *first, last = [{**event, "canvas": canvas} for event in events]
            # What a step committed is told once.
            events = [*({**event, "canvas": {**canvas, "committed": []}} for event in first), last]
        await self._stream.send(*events)

    def take_back(self, job: Job) -> bool:
        return job.index not in self._begun


def _joined(pieces: Sequence[Piece]) -> Piece:
    """A whole choice."""
    tokens = [token for piece in pieces for token in piece.tokens]
    return Piece("".join(piece.text for piece in pieces), tokens, pieces[-1].finish_reason)
