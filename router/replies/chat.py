"""Replies to POST /v1/chat/completions."""

from collections.abc import Sequence

from router.replies.logprobs import chat_logprobs
from router.replies.reading import Piece, ReadToken
from router.replies.reply import Reply
from router.replies.usage import Usage
from router.schema.responses import ChatLogprobs, Json


class ChatReply(Reply):
    prefix = "chatcmpl"
    whole_kind = "chat.completion"
    chunk_kind = "chat.completion.chunk"

    def opening(self, index: int, usage: Usage) -> list[Json]:
        delta = {"role": "assistant", "content": ""}
        return [self._chunk({"index": index, "delta": delta, "logprobs": None, "finish_reason": None}, usage)]

    def _choice(self, index: int, choice: Piece) -> Json:
        return {
            "index": index,
            "message": {"role": "assistant", "content": choice.text, "refusal": None},
            "logprobs": self._logprobs(choice.tokens),
            "finish_reason": choice.finish_reason,
        }

    def _delta(self, index: int, piece: Piece) -> Json:
        return {
            "index": index,
            "delta": {"content": piece.text} if piece.text else {},
            "logprobs": self._logprobs(piece.tokens) if piece.tokens else None,
            "finish_reason": piece.finish_reason,
        }

    def _logprobs(self, tokens: Sequence[ReadToken]) -> ChatLogprobs | None:
        if self._alternatives is None:
            return None
        return chat_logprobs(tokens, self._model.tokenizer, self._alternatives)
