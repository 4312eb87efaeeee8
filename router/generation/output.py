"""One choice in reading order: from what a worker commits to text that may be shown."""

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from types import MappingProxyType
from typing import Final

from router.errors import BadWorkerResponseError
from router.generation.usage import NO_USAGE, Usage
from router.schema.responses import FinishReason
from router.text.detokenizer import Detokenizer
from router.text.frontier import CommittedFrontier
from router.text.stop_strings import StopStrings
from router.text.tokenizer import ChatTokenizer
from textdiffusion.v1 import textdiffusion_pb2 as pb

FINISH_REASONS: Final[Mapping[int, FinishReason]] = MappingProxyType(
    {pb.FINISH_REASON_STOP: "stop", pb.FINISH_REASON_LENGTH: "length"}
)


@dataclass(frozen=True, slots=True)
class OutputToken:
    """A committed token and where its text stands in that of the choice, in characters."""

    committed: pb.CommittedToken
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class ChoiceDelta:
    """What one update made readable of a choice, or all of it where the call does not stream.

    `finish_reason` is there on the last one. `usage` is that of the choice so far, without its prompt; the service
    makes it that of the call. `update` is what the worker told.
    """

    index: int
    text: str
    tokens: Sequence[OutputToken] = ()
    finish_reason: FinishReason | None = None
    usage: Usage = NO_USAGE
    update: pb.GenerateUpdate | None = None

    def has_content(self, *, with_canvas: bool) -> bool:
        """Return True if it shows more than that the choice goes on; every step does to those who see the canvas."""
        return bool(self.text or self.tokens or (with_canvas and self.update and self.update.committed))


class OutputProcessor:
    """Turns a worker's updates of one choice into text, in order, whole characters, and no part of a stop string.

    With `include_stop` a stop string is a part of the text that it ends; with `special_tokens` such tokens are spelled
    out. With `token_by_token` deltas name their tokens, and the count of tokens ends with a stop string.
    """

    def __init__(
        self,
        tokenizer: ChatTokenizer,
        end_ids: Sequence[int],
        stops: Sequence[str] = (),
        *,
        index: int = 0,
        before: Sequence[int] = (),
        include_stop: bool = False,
        special_tokens: bool = False,
        token_by_token: bool = False,
    ) -> None:
        self._index = index
        self._frontier = CommittedFrontier(end_ids)
        self._detokenizer = Detokenizer(partial(tokenizer.decode, special=special_tokens), before)
        self._stops = StopStrings(stops, include=include_stop)
        self._token_by_token = token_by_token
        self._pending: deque[OutputToken] = deque()
        self._undecoded: list[pb.CommittedToken] = []
        self._length = 0  # characters, held back ones included
        self._shown = 0  # characters
        self._read = 0  # tokens
        self._usage = Usage()

    def push(self, update: pb.GenerateUpdate) -> ChoiceDelta:
        """Return what an update makes readable; usage is the worker's own once it has finished.

        Raises `BadWorkerResponseError` if the worker contradicts itself.
        """
        readable = self._frontier.commit(update.committed, update.ready)
        text = self._text_of(readable, update.finished)
        if update.HasField("finished") and not self._stops.found:
            text += self._stops.push(self._decoded(self._detokenizer.flush(), last=True)) + self._stops.flush()
        self._shown += len(text)
        self._count(update)
        reason = self._finish_reason(update)
        tokens = self._tokens_shown(finished=reason is not None)
        return ChoiceDelta(self._index, text, tokens, reason, self._usage, update)

    def _text_of(self, readable: Sequence[pb.CommittedToken], finished: pb.GenerateResponse) -> str:
        """The text of what became readable and, in the last update, of output that no step told of."""
        first = self._frontier.released
        if self._token_by_token:
            return self._text_of_each([*readable, *_tokens(finished, first)])
        ids = [*(token.id for token in readable), *finished.output.ids[first:]]
        self._read += len(ids)
        return self._stops.push(self._detokenizer.push(ids))

    def _text_of_each(self, tokens: Sequence[pb.CommittedToken]) -> str:
        text = ""
        for token in tokens:
            if self._stops.found:
                break
            self._undecoded.append(token)
            self._read += 1
            text += self._stops.push(self._decoded(self._detokenizer.push([token.id])))
        return text

    def _decoded(self, text: str, *, last: bool = False) -> str:
        """Notes the tokens that this text was decoded from: all since the last text."""
        if text or last:
            self._pending += (OutputToken(token, self._length, self._length + len(text)) for token in self._undecoded)
            self._undecoded.clear()
            self._length += len(text)
        return text

    def _count(self, update: pb.GenerateUpdate) -> None:
        counted = update.finished.usage
        if update.HasField("finished") and not self._stops.found:
            self._usage = Usage(
                completion_tokens=counted.completion_tokens,
                forward_passes=counted.forward_passes,
                committed_tokens=counted.committed_tokens,
            )
            return
        self._usage = Usage(
            completion_tokens=self._read,
            forward_passes=max([self._usage.forward_passes, *(token.step for token in update.committed)]),
            committed_tokens=self._usage.committed_tokens + len(update.committed),
        )

    def _finish_reason(self, update: pb.GenerateUpdate) -> FinishReason | None:
        if self._stops.found:
            return "stop"
        if not update.HasField("finished"):
            return None
        reason = FINISH_REASONS.get(update.finished.finish_reason)
        if reason is None:
            raise BadWorkerResponseError
        return reason

    def _tokens_shown(self, *, finished: bool) -> list[OutputToken]:
        """The tokens whose text was shown; at the end of the reply also all others, but none behind a stop string."""
        tokens: list[OutputToken] = []
        while self._pending and (self._pending[0].end <= self._shown or finished):
            token = self._pending.popleft()
            if not self._stops.found or token.start < self._shown:
                tokens.append(token)
        return tokens


def _tokens(finished: pb.GenerateResponse, first: int) -> list[pb.CommittedToken]:
    """The tokens of the output from position `first` on."""
    told = {token.position: token for token in finished.tokens}
    return [
        told.get(position) or pb.CommittedToken(position=position, id=token)
        for position, token in enumerate(finished.output.ids[first:], start=first)
    ]


def join_deltas(deltas: Sequence[ChoiceDelta]) -> ChoiceDelta:
    """Return a choice whole."""
    last = deltas[-1]
    tokens = [token for delta in deltas for token in delta.tokens]
    return replace(last, text="".join(delta.text for delta in deltas), tokens=tokens)
