"""A model that workers serve, as the router knows it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from router.text.tokenizer import ChatTokenizer
from textdiffusion.v1.textdiffusion_pb2 import DiffusionOptions, GetInfoResponse


@dataclass(frozen=True, slots=True)
class Model:
    id: str
    created: int  # when this router first met it, in seconds since 1970
    tokenizer: ChatTokenizer
    fingerprint: str
    max_sequence_length: int  # what each of its workers has room for
    vocab_size: int
    mask_token_id: int
    defaults: DiffusionOptions
    end_ids: Sequence[int]
    family: str  # decides which options it knows

    @classmethod
    def from_info(cls, info: GetInfoResponse, tokenizer: ChatTokenizer, created: int) -> "Model":
        return cls(
            id=info.model_id,
            created=created,
            tokenizer=tokenizer,
            fingerprint=info.fingerprint,
            max_sequence_length=info.max_sequence_length,
            vocab_size=info.vocab_size,
            mask_token_id=info.mask_token_id,
            defaults=info.defaults,
            end_ids=tuple(info.eos_token_ids),
            family=info.family or info.model_type,
        )

    def bounded_by(self, infos: Sequence[GetInfoResponse]) -> "Model":
        """As workers that say this serve it: a request may go to any of them, so the least room counts."""
        return replace(self, max_sequence_length=min(info.max_sequence_length for info in infos))

    def agrees_with(self, info: GetInfoResponse) -> bool:
        """Whether a worker that says this gives the same tokens for the same request."""
        same_tokenizer = info.tokenizer_fingerprint in ("", self.tokenizer.fingerprint)
        return same_tokenizer and info.fingerprint == self.fingerprint

    @property
    def system_fingerprint(self) -> str:
        return f"fp_{self.fingerprint[:10]}"
