import json
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from textdiffusion.settings import GenerationSettings
from worker.models.checkpoint import Checkpoint, CheckpointError
from worker.models.llada import LLADA
from worker.options import defaults_for
from worker.published import log_unhonoured, published_defaults


def checkpoint(folder: Path, **published: Any) -> Checkpoint:
    (folder / "generation_config.json").write_text(json.dumps(published))
    return Checkpoint("folder", folder)


def unhonoured(folder: Path, **published: Any) -> Any:
    with capture_logs() as logs:
        log_unhonoured(checkpoint(folder, **published))
    return logs[0]["options"] if logs else {}


def test_max_new_tokens_is_max_tokens_unless_the_file_has_our_own_name(tmp_path: Path) -> None:
    assert published_defaults(checkpoint(tmp_path, max_new_tokens=64)) == {"max_tokens": 64}
    assert published_defaults(checkpoint(tmp_path, max_new_tokens=64, max_tokens=32)) == {"max_tokens": 32}
    assert published_defaults(checkpoint(tmp_path, max_new_tokens=None)) == {}


def test_minus_one_turns_top_k_off(tmp_path: Path) -> None:
    defaults = defaults_for(checkpoint(tmp_path, top_k=-1, temperature=0.5), GenerationSettings(), LLADA)
    assert (defaults.top_k, defaults.temperature) == (0, 0.5)


def test_do_sample_false_is_greedy_unless_the_settings_say_otherwise(tmp_path: Path) -> None:
    greedy = checkpoint(tmp_path, do_sample=False, temperature=0.7)
    assert defaults_for(greedy, GenerationSettings(), LLADA).temperature == 0
    assert defaults_for(greedy, GenerationSettings(temperature=0.3), LLADA).temperature == pytest.approx(0.3)


@pytest.mark.parametrize(("name", "value"), [("max_new_tokens", 0), ("max_new_tokens", "x"), ("top_k", -2)])
def test_what_is_out_of_range_is_named_as_the_file_has_it(tmp_path: Path, name: str, value: Any) -> None:
    with pytest.raises(CheckpointError, match=rf"generation_config\.json: {name} is out of range"):
        defaults_for(checkpoint(tmp_path, **{name: value}), GenerationSettings(), LLADA)


@pytest.mark.parametrize(
    ("name", "value"),
    [("repetition_penalty", 1.1), ("num_beams", 4), ("bad_words_ids", [[1]]), ("typical_p", 0.9), ("alg", "entropy")],
)
def test_what_asks_for_something_that_is_not_done_is_said(tmp_path: Path, name: str, value: Any) -> None:
    assert unhonoured(tmp_path, **{name: value, "temperature": 0.7}) == {name: value}


def test_what_asks_for_nothing_or_is_done_is_not(tmp_path: Path) -> None:
    neutral = {"repetition_penalty": 1.0, "num_beams": 1, "bad_words_ids": None, "penalty_alpha": 0, "stop_strings": []}
    others = {"transformers_version": "4.46.3", "_from_model_config": True, "eos_token_id": 1, "use_cache": True}
    done = {"max_new_tokens": 64, "top_p": 0.9, "min_p": 0.1, "do_sample": True, "temperature": 0.7, "block_length": 32}
    assert unhonoured(tmp_path, **neutral, **others, **done) == {}


def test_a_temperature_beside_do_sample_false_is_said(tmp_path: Path) -> None:
    assert "temperature" in unhonoured(tmp_path, do_sample=False, temperature=0.7)
    assert unhonoured(tmp_path, do_sample=False, temperature=1.0) == {}
