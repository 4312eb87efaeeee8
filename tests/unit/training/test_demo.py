"""The bundled model: made as its scripts say, and as good as its card says."""

import argparse
import json
import random
import re
from pathlib import Path

import pytest
import torch

from testing.folders import DEMO
from training import tokenizer as demo_tokenizer
from training.conversations import TASKS, Writer
from training.evaluate import Examiner
from training.train import Canvases, Trainer, config_for

CARD = (DEMO / "README.md").read_text()


def trainer() -> Trainer:
    tokenizer = demo_tokenizer.build()
    config = config_for(tokenizer) | {
        "d_model": 32,
        "n_heads": 2,
        "n_kv_heads": 2,
        "n_layers": 1,
        "mlp_hidden_size": 32,
    }
    return Trainer(argparse.Namespace(seed=1, device="cpu"), config, tokenizer)


def test_the_shipped_tokenizer_and_config_are_what_the_scripts_write(tmp_path: Path) -> None:
    tokenizer = demo_tokenizer.build()
    demo_tokenizer.save(tokenizer, tmp_path)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        assert json.loads((tmp_path / name).read_text()) == json.loads((DEMO / name).read_text())
    assert json.loads((DEMO / "config.json").read_text()) == config_for(tokenizer)


def test_the_model_is_small_enough_to_come_with_the_source() -> None:
    assert (DEMO / "model.safetensors").stat().st_size < 16_000_000


def test_a_seed_gives_the_same_model_again_with_or_without_a_break(tmp_path: Path) -> None:
    whole, broken = trainer(), trainer()
    for _ in range(4):
        whole.train_step()
    for _ in range(2):
        broken.train_step()
    broken.save(tmp_path / "training.pt")
    resumed = trainer()
    resumed.resume(tmp_path / "training.pt")
    for _ in range(2):
        resumed.train_step()
    weights = whole.model.state_dict()
    assert all(torch.equal(weight, weights[name]) for name, weight in resumed.model.state_dict().items())


def test_training_learns() -> None:
    student = trainer()
    first = sum(student.train_step() for _ in range(3))
    for _ in range(120):
        student.train_step()
    assert sum(student.train_step() for _ in range(3)) < 0.8 * first


def asked(task: str, pattern: str, *, held_out: bool) -> set[tuple[str, ...]]:
    """What `pattern` finds in the messages of a task, in many conversations of one split."""
    writer = Writer(random.Random(0), held_out=held_out)
    conversations = [writer.conversation(task) for _ in range(1500)]
    return {tuple(re.findall(pattern, conversation.turns[-1].user)) for conversation in conversations}


@pytest.mark.parametrize(
    ("task", "pattern"),
    [
        ("spell", r"[A-Za-z]+(?=[.?]?$)"),
        ("sum", r"\d+"),
        ("sort_numbers", r"\d+"),
    ],
)
def test_what_is_scored_does_not_occur_in_training(task: str, pattern: str) -> None:
    scored = asked(task, pattern, held_out=True)
    assert len(scored) > 10
    assert scored & asked(task, pattern, held_out=False) <= {()}


def test_names_that_are_scored_do_not_occur_in_training() -> None:
    def names(*, held_out: bool) -> set[str]:
        writer = Writer(random.Random(0), held_out=held_out)
        replies = [writer.conversation("name").turns[-1].reply for _ in range(1500)]
        return {found[1] for reply in replies if (found := re.search(r"(?:is|you,) (\w+)\.$", reply))}

    assert names(held_out=True)
    assert not names(held_out=True) & names(held_out=False)


def test_a_hidden_canvas_is_one_that_decoding_can_meet() -> None:
    canvases = Canvases(demo_tokenizer.build(), random.Random(0))
    for _ in range(300):
        hidden = canvases._canvas(40, 128)
        blocks = [hidden[start : start + 32] for start in range(0, 128, 32)]
        active = next(number for number, block in enumerate(blocks) if any(block))
        assert active <= 1
        assert all(all(block) for block in blocks[active + 1 :])


def test_the_card_lists_every_task_at_95_percent_or_more() -> None:
    scores = dict(re.findall(r"^\| (\w+) \| ([\d.]+)% \|", CARD, re.MULTILINE))
    assert scores.keys() == set(TASKS)
    assert all(float(score) >= 95 for score in scores.values())


def test_the_model_is_as_good_as_its_card_says() -> None:
    examiner = Examiner(DEMO, "auto")
    examiner.engine.start()
    writer = Writer(random.Random("a few of each"), held_out=True)
    score = examiner.score([writer.conversation(task) for task in TASKS for _ in range(8)])
    examiner.engine.stop()
    assert score.exact >= 0.95
