"""Where an option comes from that a request leaves out."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from textdiffusion.settings import GenerationSettings
from textdiffusion.v1 import textdiffusion_pb2 as pb
from textdiffusion.wire import read_options
from worker.models.checkpoint import Checkpoint, CheckpointError
from worker.models.illada import ILLADA
from worker.models.llada import LLADA
from worker.models.spec import Family
from worker.options import BUILT_IN, defaults_for

Defaults = Callable[..., dict[str, Any]]
AUTHORS = {"canvas": "grow", "block_length": 16, "steps_per_block": 16, "min_p": 0.25}


@pytest.fixture
def defaults(tmp_path: Path) -> Defaults:
    """The defaults of a checkpoint that publishes these, with such settings and authors."""

    def make(published: dict[str, Any], *, authors: Any = AUTHORS, family: Family = ILLADA, **settings: Any) -> Any:
        (tmp_path / "generation_config.json").write_text(json.dumps(published))
        checkpoint = Checkpoint("folder", tmp_path)
        with_authors = replace(family, authors_defaults=authors, chat_defaults={})
        return read_options(defaults_for(checkpoint, GenerationSettings(**settings), with_authors))

    return make


def test_without_anything_else_they_are_built_in(defaults: Defaults) -> None:
    assert defaults({}, authors={}) == BUILT_IN


def test_settings_win_over_the_checkpoint_and_that_over_the_authors(defaults: Defaults) -> None:
    told = defaults({"block_length": 8, "min_p": 0.5}, min_p=0.75)
    assert (told["min_p"], told["block_length"], told["canvas"]) == (0.75, 8, "grow")
    assert (told["max_tokens"], told["kv_cache"]) == (BUILT_IN["max_tokens"], BUILT_IN["kv_cache"])


def test_one_number_of_steps_ends_the_other_from_below(defaults: Defaults) -> None:
    assert "steps_per_block" not in defaults({"steps": 64})
    assert "steps" not in defaults({"steps": 64}, steps_per_block=4)
    assert defaults({"threshold": 0.5}, steps_per_block=4).get("threshold") is None


def test_guidance_of_the_settings_ends_a_canvas_of_the_authors_that_grows(defaults: Defaults) -> None:
    assert defaults({}, cfg_scale=1)["canvas"] == "fixed"


def test_a_canvas_that_shall_grow_is_refused_beside_the_checkpoint_s_guidance(defaults: Defaults) -> None:
    with pytest.raises(CheckpointError, match="the defaults: canvas is grow, which does not go with cfg_scale"):
        defaults({"cfg_scale": 1}, canvas="grow")


def test_what_the_family_does_not_know_is_refused_in_settings_and_unused_from_the_checkpoint(
    defaults: Defaults,
) -> None:
    published = {"end_of_thinking_boost": 5.0}
    assert defaults(published, family=ILLADA)["end_of_thinking_boost"] == 5
    assert "end_of_thinking_boost" not in defaults(published, family=LLADA)
    sentence = r"generation\.thinking_budget is not an option of this model, whose family is llada"
    with pytest.raises(CheckpointError, match=sentence):
        defaults({}, family=LLADA, thinking_budget=8)


def test_a_contradiction_of_the_checkpoint_is_told_as_the_file_s(defaults: Defaults) -> None:
    with pytest.raises(CheckpointError, match=r"generation_config\.json: .*steps and steps_per_block exclude"):
        defaults({"steps": 4, "steps_per_block": 4})


@pytest.mark.parametrize("name", ["tokenizer_config.json", "chat_template.jinja"])
def test_a_model_with_a_chat_template_thinks_as_its_authors_have_it(tmp_path: Path, name: str) -> None:
    def defaults() -> pb.DiffusionOptions:
        return defaults_for(Checkpoint("folder", tmp_path), GenerationSettings(), ILLADA)

    base = read_options(defaults())
    assert (base["canvas"], base["steps_per_block"], base["max_tokens"], base["kv_cache"]) == ("grow", 32, 1024, "none")
    assert not {"end_of_thinking_boost", "threshold", "steps"} & base.keys()
    (tmp_path / name).write_text('{"chat_template": "{{ messages }}"}')
    tuned = read_options(defaults())
    assert (tuned["end_of_thinking_boost"], tuned["end_of_thinking_power"], tuned["max_tokens"]) == (100, 3, 2048)


@pytest.mark.parametrize(
    ("published", "settings", "block", "steps"),
    [({}, {"block_length": 64}, 64, 64), ({"block_length": 4}, {}, 4, 4), ({}, {"block_length": 512}, 512, 512)],
)
def test_blocks_of_another_length_have_as_many_tokens_a_step(
    defaults: Defaults, published: Any, settings: Any, block: int, steps: int
) -> None:
    told = defaults(published, authors=ILLADA.authors_defaults, **settings)
    assert (told["block_length"], told["steps_per_block"]) == (block, steps)
    faster = defaults({"steps_per_block": 8}, authors=ILLADA.authors_defaults, **settings)
    assert faster["steps_per_block"] == -(-block * 8 // 32) if settings else 8


@pytest.mark.parametrize("published", [{"max_new_tokens": 2**40}, {"temperature": []}])
def test_a_published_value_that_cannot_be_used_is_told_by_its_name(defaults: Defaults, published: Any) -> None:
    with pytest.raises(CheckpointError, match=rf"generation_config\.json: {next(iter(published))} is out of range"):
        defaults(published)
