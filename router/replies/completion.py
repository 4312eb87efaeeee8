"""Replies to POST /v1/completions."""

from collections.abc import Sequence

from router.replies.logprobs import completion_logprobs
from router.replies.reading import Piece, ReadToken
from router.replies.reply import Reply
from router.replies.usage import Usage
from router.schema.completions import CompletionRequest
from router.schema.responses import CompletionLogprobs, Json
from router.workers.model import Model


class CompletionReply(Reply):
    prefix = "cmpl"
    whole_kind = chunk_kind = "text_completion"

    def __init__(self, model: Model, asked: CompletionRequest) -> None:
        super().__init__(model, asked)
        texts = [_text(prompt.value, model) for prompt in asked.prompt] if asked.echo else []
        self._echoes = [text for text in texts for _ in range(asked.n)]

    def opening(self, index: int, usage: Usage) -> list[Json]:
        return [self.chunk(index, Piece(self._echoes[index]), usage)] if self._echoes else []

    def _choice(self, index: int, choice: Piece) -> Json:
        echo = self._echoes[index] if self._echoes else ""
        return {**self._delta(index, choice), "text": echo + choice.text, "logprobs": self._logprobs(choice.tokens)}

    def _delta(self, index: int, piece: Piece) -> Json:
        return {
            "index": index,
            "text": piece.text,
            "logprobs": self._logprobs(piece.tokens) if piece.tokens else None,
            "finish_reason": piece.finish_reason,
        }

    def _logprobs(self, tokens: Sequence[ReadToken]) -> CompletionLogprobs | None:
        if self._alternatives is None:
            return None
        return completion_logprobs(tokens, self._model.tokenizer, self._alternatives)


def _text(prompt: str | list[int], model: Model) -> str:
    return prompt if isinstance(prompt, str) else model.tokenizer.decode(prompt, special=True)
