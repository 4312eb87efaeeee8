"""What a client is sent for a chat request, in the shapes of OpenAI's API."""

import secrets
import time
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from router.detokenizer import Detokenizer
from router.errors import BadWorkerResponseError
from router.frontier import CommittedFrontier
from router.model import Model
from textdiffusion.v1 import textdiffusion_pb2 as pb

FINISH_REASONS: Final[Mapping[int, str]] = MappingProxyType(
    {pb.FINISH_REASON_STOP: "stop", pb.FINISH_REASON_LENGTH: "length"}
)


def usage(finished: pb.GenerateResponse) -> dict[str, Any]:
    """OpenAI's usage object; how many forward passes the reply cost is told beside its own details."""
    counts = finished.usage
    return {
        "prompt_tokens": counts.prompt_tokens,
        "completion_tokens": counts.completion_tokens,
        "total_tokens": counts.prompt_tokens + counts.completion_tokens,
        "completion_tokens_details": {"forward_passes": counts.forward_passes},
    }


def finish_reason(finished: pb.GenerateResponse) -> str:
    """Raises `BadWorkerResponseError` if the worker gives none that a client could understand."""
    reason = FINISH_REASONS.get(finished.finish_reason)
    if reason is None:
        raise BadWorkerResponseError
    return reason


class Reply:
    """What all messages about one reply have in common."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self._id = f"chatcmpl-{secrets.token_hex(16)}"
        self._created = int(time.time())

    def whole(self, finished: pb.GenerateResponse) -> dict[str, Any]:
        text = self._model.tokenizer.decode(finished.output.ids)
        choice = {
            "index": 0,
            "message": {"role": "assistant", "content": text, "refusal": None},
            "logprobs": None,
            "finish_reason": finish_reason(finished),
        }
        return self._message("chat.completion", choices=[choice], usage=usage(finished))

    def _message(self, kind: str, **fields: Any) -> dict[str, Any]:
        return {
            "id": self._id,
            "object": kind,
            "created": self._created,
            "model": self._model.id,
            "system_fingerprint": self._model.system_fingerprint,
            **fields,
        }


class StreamedReply(Reply):
    """The same in pieces; with `include_usage` every chunk but the last says that its usage is null."""

    def __init__(self, model: Model, *, include_usage: bool, ignore_eos: bool) -> None:
        super().__init__(model)
        self._usage = {"usage": None} if include_usage else {}
        self._frontier = CommittedFrontier(() if ignore_eos else model.end_ids)
        self._detokenizer = Detokenizer(model.tokenizer.decode)

    def opening(self) -> dict[str, Any]:
        return self._chunk({"role": "assistant", "content": ""})

    def text_of(self, update: pb.GenerateUpdate) -> str:
        """What has become readable; all the rest with the last update."""
        committed = ((token.position, token.id) for token in update.committed)
        text = self._detokenizer.push(self._frontier.commit(committed, update.ready))
        if update.HasField("finished"):
            text += self._detokenizer.push(update.finished.output.ids[self._frontier.released :])
            text += self._detokenizer.flush()
        return text

    def piece(self, text: str) -> dict[str, Any]:
        return self._chunk({"content": text})

    def closing(self, finished: pb.GenerateResponse) -> list[dict[str, Any]]:
        chunks = [self._chunk({}, finish_reason(finished))]
        if self._usage:
            chunks.append(self._message("chat.completion.chunk", choices=[], usage=usage(finished)))
        return chunks

    def _chunk(self, delta: dict[str, str], reason: str | None = None) -> dict[str, Any]:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}
        return self._message("chat.completion.chunk", choices=[choice], **self._usage)
