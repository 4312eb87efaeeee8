"""What a call has cost."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import reduce
from typing import Final

from router.schema.responses import UsageObject


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Counts of one choice, or of several together."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    forward_passes: int = 0
    committed_tokens: int = 0

    def __add__(self, other: "Usage") -> "Usage":
        return Usage(
            prompt_tokens=self.prompt_tokens + other.prompt_tokens,
            completion_tokens=self.completion_tokens + other.completion_tokens,
            forward_passes=self.forward_passes + other.forward_passes,
            committed_tokens=self.committed_tokens + other.committed_tokens,
        )

    def as_object(self) -> UsageObject:
        """OpenAI's usage object; what is particular to diffusion is told beside its own details.

        Those are all there, as clients add up what OpenAI's client has a name for, and stumble over null.
        """
        return {
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.completion_tokens,
            "total_tokens": self.prompt_tokens + self.completion_tokens,
            "prompt_tokens_details": {
                "text_tokens": self.prompt_tokens,
                "cached_tokens": 0,
                "cache_write_tokens": 0,
                "audio_tokens": 0,
                "image_tokens": 0,
            },
            "completion_tokens_details": {
                "text_tokens": self.completion_tokens,
                "reasoning_tokens": 0,
                "audio_tokens": 0,
                "accepted_prediction_tokens": 0,
                "rejected_prediction_tokens": 0,
                "forward_passes": self.forward_passes,
                "committed_tokens": self.committed_tokens,
            },
        }


NO_USAGE: Final = Usage()


def total(usages: Iterable[Usage]) -> Usage:
    return reduce(Usage.__add__, usages, NO_USAGE)
