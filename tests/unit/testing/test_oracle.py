"""The oracle decodes iLLaDA as published; what no published function does is worked out here by hand."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from testing.folders import ILLADA_GOLDEN
from testing.oracle import KeysAndValues, Outcome, Transformer, decode
from worker.sampling_params import CacheMode, CanvasMode, Remasking, SamplingParams

CASES: list[dict[str, Any]] = json.loads((ILLADA_GOLDEN / "cases.json").read_text())
PROMPT = CASES[0]["prompt_ids"]
END, MASK = 2, 5


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Threads would take longer to share out such small work than to do it."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def illada() -> Transformer:
    return Transformer(ILLADA_GOLDEN, torch.float32)


def options_of(case: dict[str, Any], **others: Any) -> SamplingParams:
    names = ("gen_length", "block_length", "steps_per_block", "steps", "cfg_scale", "temperature", "threshold")
    known: dict[str, Any] = {name: case[name] for name in names}
    known |= {
        "canvas": CanvasMode(case["canvas"]),
        "remasking": Remasking(case["remasking"]),
        "kv_cache": CacheMode(case["cache"]),
        "end_of_thinking_ids": tuple(case["think_end_ids"]),
        "end_of_thinking_boost": case["think_end_boost"],
        "end_of_thinking_power": case["think_end_power"],
    }
    return SamplingParams(**(known | others))


def cut(generated: Sequence[int], stops: Sequence[Sequence[int]]) -> Sequence[int]:
    """What stands before the first occurrence of each stop, one stop after the other."""
    for stop in stops:
        places = range(len(generated) - len(stop) + 1)
        first = next((place for place in places if generated[place : place + len(stop)] == stop), len(generated))
        generated = generated[:first]
    return generated


def up_to_the_stop(generated: list[int], case: dict[str, Any]) -> list[int]:
    """All blocks up to the one in which a stop is complete; the fixed canvas knows no stop."""
    ends = range(case["block_length"], len(generated) + 1, case["block_length"])
    stopped = (end for end in ends if cut(generated[:end], case["stop_sequences"]) != generated[:end])
    return generated[: next(stopped, len(generated))]


def as_published(outcome: Outcome, case: dict[str, Any]) -> dict[str, Any]:
    """What a case tells about its output, of a canvas that was filled to its end whatever stood in it."""
    output = up_to_the_stop(outcome.generated, case)
    order = [outcome.committed[position][1] - 1 for position in range(len(output))]
    return {
        "output_ids": output,
        "kept_ids": cut(output, case["stop_sequences"]),
        "committing_passes": max(order) + 1,
        "order": order,
    }


def differing(outcomes: Sequence[Outcome]) -> list[int]:
    found = [(as_published(outcome, case), case) for outcome, case in zip(outcomes, CASES, strict=True)]
    return [number for number, (told, case) in enumerate(found) if told != {name: case[name] for name in told}]


def test_it_computes_the_published_logits(illada: Transformer) -> None:
    golden = load_file(ILLADA_GOLDEN / "logits.safetensors")
    ids = golden["input_ids"].flatten().tolist()
    logits, _ = illada(ids, 0, len(ids), ())
    assert (logits - golden["logits"].view_as(logits)).abs().max() < 1e-4


def test_tied_embeddings_are_the_output_matrix_whatever_else_the_file_holds(
    illada: Transformer, tmp_path: Path
) -> None:
    def logits(*, tied: bool | None, **others: Tensor) -> Tensor:
        known = {name: value for name, value in config.items() if name != "tie_word_embeddings"}
        tying = {} if tied is None else {"tie_word_embeddings": tied}
        (tmp_path / "config.json").write_text(json.dumps(known | tying))
        save_file(weights | others, tmp_path / "model.safetensors")
        return Transformer(tmp_path, torch.float32)(PROMPT, 0, len(PROMPT), ())[0]

    config = json.loads((ILLADA_GOLDEN / "config.json").read_text())
    weights = load_file(ILLADA_GOLDEN / "model.safetensors")
    twice = 2 * weights.pop("lm_head.weight")
    expected = illada(PROMPT, 0, len(PROMPT), ())[0]
    assert torch.equal(logits(tied=True), expected)
    assert torch.equal(logits(tied=None, **{"lm_head.weight": twice}), expected)
    assert torch.equal(logits(tied=False, **{"lm_head.weight": twice}), 2 * expected)


def test_every_golden_case_comes_out_in_the_same_order_and_nearly_all_of_it_is_certain(illada: Transformer) -> None:
    outcomes = [decode(illada, case["prompt_ids"], options_of(case)) for case in CASES]
    assert differing(outcomes) == []
    assert sum(outcome.certain_passes for outcome in outcomes) > 0.95 * sum(outcome.passes for outcome in outcomes)


def test_steps_of_all_blocks_together_give_the_same_as_steps_of_each(illada: Transformer) -> None:
    options = [options_of(case, steps_per_block=None) for case in CASES]
    outcomes = [decode(illada, case["prompt_ids"], one, nudges=()) for case, one in zip(CASES, options, strict=True)]
    assert differing(outcomes) == []


def test_at_an_end_token_decoding_stops_with_the_kept_tokens_and_sooner_than_the_block(illada: Transformer) -> None:
    sooner = []
    for case in CASES:
        if case["stop_sequences"] == [[END]]:
            options = options_of(case, end_token_ids=frozenset([END]))
            outcome = decode(illada, case["prompt_ids"], options, nudges=())
            kept = case["kept_ids"]
            assert outcome.generated[: len(kept)] == kept
            assert outcome.stopped == (kept != case["output_ids"])
            assert outcome.generated[len(kept) : len(kept) + 1] == [END] * outcome.stopped
            assert len(outcome.generated) == len(case["output_ids"])
            sooner.append(case["committing_passes"] - outcome.passes)
    assert min(sooner) == 0 < max(sooner)


class Recorder:
    """A network that notes which positions of how long a canvas it computes, and whether others are kept."""

    def __init__(self, network: Transformer) -> None:
        self.mask_token_id, self.rounding = network.mask_token_id, network.rounding
        self.passes: list[tuple[int, int, int, bool]] = []
        self._network = network

    def __call__(
        self, canvas: Sequence[int], start: int, end: int, kept: KeysAndValues
    ) -> tuple[Tensor, KeysAndValues]:
        self.passes.append((start, end, len(canvas), bool(kept)))
        return self._network(canvas, start, end, kept)


@pytest.mark.parametrize("kv_cache", [CacheMode.PREFIX, CacheMode.DUAL])
def test_with_a_cache_a_grown_block_runs_alone_but_for_its_first_pass(illada: Transformer, kv_cache: CacheMode) -> None:
    recorder = Recorder(illada)
    options = SamplingParams(
        gen_length=7, block_length=3, steps=0, steps_per_block=2, canvas=CanvasMode.GROW, kv_cache=kv_cache
    )
    decode(recorder, PROMPT[:10], options, nudges=())
    assert recorder.passes == [
        (0, 13, 13, False),
        (10, 13, 13, True),
        (0, 16, 16, False),
        (13, 16, 16, True),
        (0, 17, 17, False),
    ]


def test_a_cache_changes_no_block_of_a_single_pass_and_is_the_same_before_and_behind(illada: Transformer) -> None:
    def generated(steps_per_block: int, kv_cache: CacheMode) -> list[int]:
        options = options_of(CASES[5], steps_per_block=steps_per_block, kv_cache=kv_cache)
        return decode(illada, PROMPT, options, nudges=()).generated

    assert generated(1, CacheMode.DUAL) == generated(1, CacheMode.NONE)
    assert generated(8, CacheMode.DUAL) == generated(8, CacheMode.PREFIX)


def test_guidance_of_a_growing_canvas_masks_the_prompt_alone_and_so_changes_nothing_without_one(
    illada: Transformer,
) -> None:
    plain, guided = options_of(CASES[5]), options_of(CASES[5], cfg_scale=1.5)
    assert decode(illada, [], guided, nudges=()).generated == decode(illada, [], plain, nudges=()).generated
    assert decode(illada, PROMPT, guided, nudges=()).generated != decode(illada, PROMPT, plain, nudges=()).generated


def test_a_thinking_budget_stands_for_the_limit_in_the_boost(illada: Transformer) -> None:
    case = CASES[37]
    limits = {"gen_length": 2 * case["gen_length"], "steps": 2 * case["steps"], "thinking_budget": case["gen_length"]}
    outcome = decode(illada, case["prompt_ids"], options_of(case, **limits), nudges=())
    assert outcome.generated[: case["gen_length"]] == case["output_ids"]


def test_a_canvas_that_grows_has_no_suffix(illada: Transformer) -> None:
    with pytest.raises(ValueError, match="no suffix"):
        decode(illada, PROMPT, options_of(CASES[0]), suffix=[7])


class Scripted:
    """A network that always gives the generated positions the probabilities it was made with, token by token."""

    mask_token_id, rounding = MASK, 1.0

    def __init__(self, *probabilities: Sequence[float]) -> None:
        self._logits = torch.tensor(probabilities, dtype=torch.float64).log()

    def __call__(
        self, canvas: Sequence[int], start: int, end: int, kept: KeysAndValues
    ) -> tuple[Tensor, KeysAndValues]:
        assert 0 <= start < end <= len(canvas)
        return self._logits[start:end], kept


# The likeliest tokens are 0, 1, 3, 4, 0, 1, with probabilities 0.6, 0.9, 0.5, 0.95, 0.8 and 0.7.
SURE = Scripted(
    [0.6, 0.1, 0.3, 0, 0, 0],
    [0.1, 0.9, 0, 0, 0, 0],
    [0, 0.1, 0.4, 0.5, 0, 0],
    [0.05, 0, 0, 0, 0.95, 0],
    [0.8, 0.2, 0, 0, 0, 0],
    [0.3, 0.7, 0, 0, 0, 0],
)


def passes(**options: Any) -> list[list[int]]:
    """The positions that each pass over `SURE` commits."""
    length = {"gen_length": 6, "block_length": 6, "steps": 6}
    committed = decode(SURE, [], SamplingParams(**(length | options)), nudges=()).committed
    steps = [step for _, step, _ in committed.values()]
    return [[at for at, (_, step, _) in sorted(committed.items()) if step == one] for one in range(1, max(steps) + 1)]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"steps": 4}, [[1, 3], [4, 5], [0], [2]]),
        ({"steps": 4, "min_parallel_tokens": 2}, [[1, 3], [4, 5], [0, 2]]),
        ({"steps": 6, "min_parallel_tokens": 4, "max_parallel_tokens": 3}, [[1, 3, 4], [0, 2, 5]]),
        ({"threshold": 0.85}, [[1, 3], [4], [5], [0], [2]]),
        ({"threshold": 0.85, "min_parallel_tokens": 3}, [[1, 3, 4], [0, 2, 5]]),
        ({"threshold": 0.85, "min_parallel_tokens": 100}, [[0, 1, 2, 3, 4, 5]]),
        ({"threshold": 0.0, "min_parallel_tokens": 1, "max_parallel_tokens": 4}, [[1, 3, 4, 5], [0, 2]]),
        ({"factor": 0.7}, [[1, 3], [4], [5], [0], [2]]),
        ({"factor": 0.7, "min_parallel_tokens": 4}, [[1, 3, 4, 5], [0, 2]]),
        ({"remasking": Remasking.MARGIN, "steps": 3}, [[1, 3], [4, 5], [0, 2]]),
        ({"canvas": CanvasMode.GROW, "block_length": 4, "steps": 3}, [[1, 3], [0, 2], [4], [5]]),
        ({"canvas": CanvasMode.GROW, "block_length": 4, "steps_per_block": 9}, [[3], [1], [0], [2], [4], [5]]),
        ({"block_length": 4, "steps_per_block": 2}, [[1, 3], [0, 2], [4], [5]]),
    ],
)
def test_a_step_commits_as_many_as_its_rule_says_the_surest_first(
    options: dict[str, Any], expected: list[list[int]]
) -> None:
    assert passes(**options) == expected


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"steps": 4}, [[0, 1], [2, 3], [4], [5]]),
        ({"threshold": 0.85}, [[0, 1], [2, 3], [4], [5]]),
        ({"threshold": 0.75}, [[0, 1], [2, 3, 4], [5]]),
        ({"threshold": 0.75, "max_parallel_tokens": 2}, [[0, 1], [2, 3], [4], [5]]),
        ({"threshold": 0.75, "min_parallel_tokens": 3}, [[0, 1, 2, 3, 4], [5]]),
        ({"factor": 0.5}, [[0, 1], [2, 3], [4], [5]]),
    ],
)
def test_sequential_goes_from_left_to_right_and_on_while_the_tokens_pass(
    options: dict[str, Any], expected: list[list[int]]
) -> None:
    assert passes(remasking=Remasking.SEQUENTIAL, **options) == expected


THINKING = Scripted(*[[0.9, 0, 0, 0.05, 0.05, 0]] * 6)
MARKED_BEHIND_A_GAP = Scripted(
    [0.9, 0, 0, 0.05, 0.05, 0], [0.9, 0, 0, 0.05, 0.05, 0], [0.05, 0, 0, 0.95, 0, 0], [0.03, 0, 0, 0, 0.97, 0]
)


@pytest.mark.parametrize(
    ("network", "prompt", "options", "expected"),
    [
        (THINKING, [], {}, [3, 4, 0, 0]),
        # Neither the marker nor the beginning of one counts in the prompt.
        (THINKING, [3, 4], {}, [3, 4, 0, 0]),
        (THINKING, [3], {}, [3, 4, 0, 0]),
        # A boost of 3 makes the marker likelier at the first position, but the last two are surer and come before.
        (MARKED_BEHIND_A_GAP, [], {"end_of_thinking_boost": 3.0, "steps": 2}, [0, 0, 3, 4]),
        (MARKED_BEHIND_A_GAP, [], {"end_of_thinking_boost": 3.0, "steps": 1}, [3, 0, 3, 4]),
        (THINKING, [], {"end_of_thinking_boost": -100.0, "end_of_thinking_ids": (0, 4)}, [0, 0, 0, 0]),
        (THINKING, [], {"end_of_thinking_ids": (3, 6)}, [0, 0, 0, 0]),
        (THINKING, [], {"end_of_thinking_ids": ()}, [0, 0, 0, 0]),
        # At a quarter of the limit 100 · (1/4)² is far above log 18; at a sixteenth 0.4 is below, so others come first.
        (THINKING, [], {"end_of_thinking_power": 2.0}, [3, 4, 0, 0]),
        (THINKING, [], {"end_of_thinking_power": 2.0, "thinking_budget": 16}, [0, 0, 0, 0]),
    ],
)
def test_the_boost_ends_thinking_once_and_where_it_is_asked_for(
    network: Scripted, prompt: list[int], options: dict[str, Any], expected: list[int]
) -> None:
    known: dict[str, Any] = {"gen_length": 4, "block_length": 4, "steps": 4}
    known |= {"end_of_thinking_ids": (3, 4), "end_of_thinking_boost": 100.0, "end_of_thinking_power": 0.0}
    params = SamplingParams(**(known | options))
    assert decode(network, prompt, params, nudges=()).generated == expected


def test_the_mask_is_never_chosen_and_keeps_its_share_of_the_confidence() -> None:
    network = Scripted([0.3, 0.1, 0, 0, 0, 0.6], [0.5, 0.5, 0, 0, 0, 0])
    outcome = decode(network, [], SamplingParams(gen_length=2, block_length=2, steps=2), nudges=())
    assert outcome.generated == [0, 0]
    assert [outcome.committed[position][1] for position in range(2)] == [2, 1]


def test_no_end_token_is_chosen_before_min_tokens_and_the_confidence_stays_that_of_all_tokens() -> None:
    network = Scripted([0.1, 0.2, 0.7, 0, 0, 0], [0.4, 0.2, 0.4, 0, 0, 0], [0.2, 0.1, 0.7, 0, 0, 0])
    options = SamplingParams(gen_length=3, block_length=3, steps=3, min_tokens=2, end_token_ids=frozenset([END]))
    outcome = decode(network, [], options, nudges=())
    assert outcome.generated == [1, 0, END]
    # The end token is surest; of the others 0.4 comes before 0.2, though 0.2 is two thirds of what is left there.
    assert [outcome.committed[position][1] for position in range(3)] == [3, 2, 1]


@pytest.mark.parametrize(
    ("options", "possible"),
    [
        ({"min_p": 0.49}, {0, 1, 2}),
        ({"min_p": 0.51}, {0, 1}),
        ({"min_p": 1.0}, {0}),
        # Twice the temperature takes the square root of each ratio.
        ({"min_p": 0.51, "temperature": 2.0}, {0, 1, 2}),
        ({"min_p": 0.51, "top_k": 1}, {0}),
        # Of the two that min_p leaves the first has 4 / 7, of the three that it would be among, 4 / 9.
        ({"min_p": 0.51, "top_p": 0.55}, {0}),
        ({"min_p": 0.49, "top_p": 0.55}, {0, 1}),
    ],
)
def test_min_p_is_of_the_tempered_distribution_and_comes_before_top_k_and_top_p(
    options: dict[str, Any], possible: set[int]
) -> None:
    length = 200
    network = Scripted(*[[0.4, 0.3, 0.2, 0.02, 0.02, 0.06]] * length)
    params = SamplingParams(**({"temperature": 1.0} | options), gen_length=length, block_length=length, steps=1)
    assert set(decode(network, [], params, nudges=()).generated) == possible
