"""Prompts of a given length, the same for those who take text and for those who take token ids."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from transformers import PreTrainedTokenizerFast


@dataclass(frozen=True, slots=True)
class Prompt:
    """A user's message, and the token ids of the conversation that it makes."""

    text: str
    ids: Sequence[int]


def prompts_of(folder: Path, length: int, count: int) -> list[Prompt]:
    """`count` prompts of `length` tokens each: digits, of which the demo model's tokenizer makes one token each."""
    tokenizer = PreTrainedTokenizerFast.from_pretrained(folder)

    def prompt(text: str) -> Prompt:
        messages = [{"role": "user", "content": text}]
        rendered = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        return Prompt(text, tokenizer.encode(rendered, add_special_tokens=False))

    rng = random.Random(0)  # noqa: S311 - the same prompts each time
    digits = length - len(prompt("").ids)
    return [prompt("".join(rng.choices("0123456789", k=digits))) for _ in range(count)]
