"""What a setting costs in accuracy: the demo model's tasks over thresholds, factors, steps and caches.

The conversations are held out, and the same for every setting; a reply counts if it is exactly the expected one.
"""

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from statistics import mean

import torch
from transformers import PreTrainedTokenizerFast

from benchmarks.engine import run_at_once, started
from benchmarks.shapes import Rule, Shape
from testing.folders import DEMO
from training.conversations import TASKS, Conversation, Writer
from worker.engine.engine import Engine
from worker.engine.scheduler import Limits
from worker.models.checkpoint import Checkpoint
from worker.models.loading import load_model
from worker.sampling_params import CacheMode, SamplingParams

RULES = (
    *(Rule("threshold", value) for value in (0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99)),
    *(Rule("factor", value) for value in (0.1, 0.25, 0.5, 1, 2)),
    *(Rule("steps", value) for value in (128, 64, 32, 16, 8)),
)
PLACES = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One setting: the share of right replies, of all and by task, and the forward passes that a reply took."""

    cache: str
    rule: str
    value: float
    replies: int
    accuracy: float
    forward_passes: float
    tasks: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Exam:
    """Conversations as prompts, and the replies that are expected."""

    tasks: Sequence[str]
    prompts: Sequence[Sequence[int]]
    expected: Sequence[str]


def measure(
    shape: Shape,
    device: torch.device,
    dtype: torch.dtype,
    *,
    caches: Sequence[CacheMode],
    rules: Sequence[Rule],
    conversations: int,
) -> Iterator[Point]:
    """A point for each cache and rule, from so many conversations per task."""
    tokenizer = PreTrainedTokenizerFast.from_pretrained(DEMO)
    model = load_model(Checkpoint.find(str(DEMO)), device, dtype)
    exam = _exam(tokenizer, conversations)
    longest = max(len(prompt) for prompt in exam.prompts) + shape.gen_length
    limits = Limits(max_running=PLACES, max_waiting=len(exam.prompts), positions=PLACES * longest)
    with started(model, limits) as engine:
        for cache, rule in product(caches, rules):
            options = replace(shape.options(cache, rule), end_token_ids=frozenset(model.spec.eos_token_ids))
            yield _sit(exam, engine, options, rule, tokenizer)


def _exam(tokenizer: PreTrainedTokenizerFast, conversations: int) -> Exam:
    def prompt(conversation: Conversation) -> Sequence[int]:
        text = tokenizer.apply_chat_template(conversation.messages(), tokenize=False)
        ids: list[int] = tokenizer.encode(text, add_special_tokens=False)
        return ids

    tasks = [task for task in TASKS for _ in range(conversations)]
    writers = {task: Writer(random.Random(f"7 {task}"), held_out=True) for task in TASKS}  # noqa: S311 - repeatable
    asked = [writers[task].conversation(task) for task in tasks]
    return Exam(tasks, [prompt(one) for one in asked], [one.turns[-1].reply for one in asked])


def _sit(exam: Exam, engine: Engine, options: SamplingParams, rule: Rule, tokenizer: PreTrainedTokenizerFast) -> Point:
    replies, _ = run_at_once(engine, exam.prompts, options)
    texts = [tokenizer.decode(list(reply.canvas)) for reply in replies]
    right = [text == expected for text, expected in zip(texts, exam.expected, strict=True)]
    return Point(
        cache=options.kv_cache.value,
        rule=rule.kind,
        value=rule.value,
        replies=len(replies),
        accuracy=mean(right),
        forward_passes=mean(reply.forward_passes for reply in replies),
        tasks={
            task: mean(good for of_task, good in zip(exam.tasks, right, strict=True) if of_task == task)
            for task in TASKS
        },
    )
