"""Requests of about the length that is asked for, by the count of the server's own tokenizer."""

import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.serve.client import Client, UnusableServerError
from benchmarks.serve.plan import Plan

TRIAL_SHARE = 4  # of the words of a prompt: a word may be that many tokens, and a prompt has to fit
WORDS = """
time year people way day man thing woman life child world school state family student group country problem hand part
place case week company system program question work government number night point home water room mother area money
story fact month lot right study book eye job word business issue side kind head house service friend father power
hour game line end member law car city community name president team minute idea kid body information back parent face
others level office door health person art war history party result change morning reason research girl guy moment air
teacher force education foot boy age policy music market sense nation plan college interest death experience effect
use class control field development role effort rate heart drug show leader light voice wife police mind price
decision son view building town road arm difference value action season society tax director position player record
paper space
""".split()  # noqa: SIM905 - words read best as words


@dataclass(frozen=True, slots=True)
class Lengths:
    """Of one request, in tokens: what its prompt should have, and what its reply may have."""

    input: int
    output: int


@dataclass(frozen=True, slots=True)
class Fit:
    """A prompt of n random words has about `base` + n * `per_word` tokens, whatever is laid around a user's text."""

    base: float
    per_word: float

    def words(self, tokens: int) -> int:
        return max(1, round((tokens - self.base) / self.per_word))


def lengths_of(plan: Plan, number: int) -> Lengths:
    """Of the request of this number, always the same for the same seed."""
    rng = random.Random(f"{plan.seed} lengths {number}")  # noqa: S311 - a seed has to give the same again

    def draw(length: int) -> int:
        return max(1, round(length * rng.uniform(1 - plan.range_ratio, 1 + plan.range_ratio)))

    return Lengths(draw(plan.input_len), draw(plan.output_len))


def words(count: int, seed: str) -> str:
    rng = random.Random(seed)  # noqa: S311 - a seed has to give the same again
    return " ".join(rng.choices(WORDS, k=count))


def bodies(plan: Plan, model: str, lengths: Sequence[Lengths], fit: Fit) -> list[bytes]:
    """The requests' bodies, made before the load so that none has to wait for it."""
    return [
        _encoded(
            request_body(
                plan, model, words(fit.words(one.input), f"{plan.seed} words {number}"), one.output, stream=plan.stream
            )
        )
        for number, one in enumerate(lengths)
    ]


def request_body(plan: Plan, model: str, text: str, max_tokens: int, *, stream: bool) -> dict[str, Any]:
    asked = {"messages": [{"role": "user", "content": text}]} if plan.endpoint == "chat" else {"prompt": text}
    body: dict[str, Any] = {"model": model, **asked, "max_tokens": max_tokens}
    if plan.ignore_eos:
        body["ignore_eos"] = True
    if stream:
        body |= {"stream": True, "stream_options": {"include_usage": True}}
    return {**body, **plan.extra_body}


async def fit_words(client: Client, plan: Plan, model: str) -> Fit | None:
    """Asks for two replies, and counts as the server does; none if it does not tell what it counted.

    Raises `UnusableServerError` if it refuses them.
    """
    few, many = 1, max(2, plan.input_len // TRIAL_SHARE)
    counted = [await _count(client, plan, model, number) for number in (few, many)]
    if counted[0] is None or counted[1] is None:
        return None
    per_word = max(counted[1] - counted[0], many - few) / (many - few)
    return Fit(base=counted[0] - few * per_word, per_word=per_word)


async def _count(client: Client, plan: Plan, model: str, number: int) -> int | None:
    body = request_body(plan, model, words(number, f"{plan.seed} trial {number}"), plan.output_len, stream=False)
    reply = await client.ask(_encoded(body), lambda: 0.0, stream=False)
    if reply.error:
        status = f" {reply.status}" if reply.status else ""
        raise UnusableServerError(f"a trial request fails:{status} {reply.error}: {reply.message}")
    return reply.usage.prompt_tokens


def _encoded(body: Mapping[str, Any]) -> bytes:
    return json.dumps(body).encode()
