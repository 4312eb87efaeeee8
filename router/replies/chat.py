"""Replies to POST /v1/chat/completions."""

from collections.abc import Sequence

from router.generation.output import ChoiceDelta, OutputToken
from router.generation.usage import Usage
from router.replies.logprobs import chat_logprobs
from router.replies.reply import Responder
from router.schema.responses import ChatLogprobs, Json


class ChatResponder(Responder):
    prefix = "chatcmpl"
    whole_kind = "chat.completion"
    chunk_kind = "chat.completion.chunk"

    def _opening(self, index: int, usage: Usage) -> list[Json]:
        delta = {"role": "assistant", "content": ""}
        return [self._chunk({"index": index, "delta": delta, "logprobs": None, "finish_reason": None}, usage)]

    def _choice(self, choice: ChoiceDelta) -> Json:
        return {
            "index": choice.index,
            "message": {"role": "assistant", "content": choice.text, "refusal": None},
            "logprobs": self._logprobs(choice.tokens),
            "finish_reason": choice.finish_reason,
        }

    def _delta(self, delta: ChoiceDelta) -> Json:
        return {
            "index": delta.index,
            "delta": {"content": delta.text} if delta.text else {},
            "logprobs": self._logprobs(delta.tokens) if delta.tokens else None,
            "finish_reason": delta.finish_reason,
        }

    def _logprobs(self, tokens: Sequence[OutputToken]) -> ChatLogprobs | None:
        if self._alternatives is None:
            return None
        return chat_logprobs(tokens, self._model.tokenizer, self._alternatives)
