"""Replies to POST /v1/completions."""

from collections.abc import Sequence

from router.generation.output import ChoiceDelta, OutputToken
from router.generation.usage import Usage
from router.replies.logprobs import completion_logprobs
from router.replies.reply import Responder
from router.schema.completions import CompletionRequest
from router.schema.responses import CompletionLogprobs, Json
from router.workers.model import Model


class CompletionResponder(Responder):
    prefix = "cmpl"
    whole_kind = chunk_kind = "text_completion"

    def __init__(self, model: Model, asked: CompletionRequest) -> None:
        super().__init__(model, asked)
        texts = [_text(prompt.value, model) for prompt in asked.prompt] if asked.echo else []
        self._echoes = [text for text in texts for _ in range(asked.n)]

    def _opening(self, index: int, usage: Usage) -> list[Json]:
        if not self._echoes:
            return []
        return [self._chunk(self._delta(ChoiceDelta(index, self._echoes[index])), usage)]

    def _choice(self, choice: ChoiceDelta) -> Json:
        echo = self._echoes[choice.index] if self._echoes else ""
        return {**self._delta(choice), "text": echo + choice.text, "logprobs": self._logprobs(choice.tokens)}

    def _delta(self, delta: ChoiceDelta) -> Json:
        return {
            "index": delta.index,
            "text": delta.text,
            "logprobs": self._logprobs(delta.tokens) if delta.tokens else None,
            "finish_reason": delta.finish_reason,
        }

    def _logprobs(self, tokens: Sequence[OutputToken]) -> CompletionLogprobs | None:
        if self._alternatives is None:
            return None
        return completion_logprobs(tokens, self._model.tokenizer, self._alternatives)


def _text(prompt: str | list[int], model: Model) -> str:
    return prompt if isinstance(prompt, str) else model.tokenizer.decode(prompt, special=True)
