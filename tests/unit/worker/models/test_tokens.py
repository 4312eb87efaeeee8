import json
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from worker.models.checkpoint import Checkpoint, CheckpointError
from worker.models.tokens import Vocabulary, end_token_ids, log_end_tokens

VOCABULARY = 320
IM_END = "<|im_end|>"
ADDED = {"added_tokens": [{"id": 306, "content": IM_END}]}


def ends(folder: Path, config: Any = None, **files: Any) -> tuple[int, ...]:
    """The end tokens of a folder with these JSON files."""
    for name, content in files.items():
        (folder / f"{name}.json").write_text(json.dumps(content))
    checkpoint = Checkpoint("folder", folder)
    return end_token_ids(checkpoint, {"eos_token_id": config}, Vocabulary.read(checkpoint), VOCABULARY)


@pytest.mark.parametrize("config", [None, 1, [1, 2]])
@pytest.mark.parametrize("published", [None, 3, [3, 1]])
def test_end_tokens_are_those_of_both_configs_be_they_numbers_or_lists(
    tmp_path: Path, config: Any, published: Any
) -> None:
    named = {*(config if isinstance(config, list) else [config]), *([3, 1] if published == [3, 1] else [published])}
    expected = tuple(sorted(named - {None}))
    assert ends(tmp_path, config, generation_config={"eos_token_id": published}) == expected


@pytest.mark.parametrize("eos", [IM_END, {"__type": "AddedToken", "content": IM_END, "lstrip": False}])
def test_the_tokenizer_s_own_end_token_counts_as_text_or_as_an_object(tmp_path: Path, eos: Any) -> None:
    assert ends(tmp_path, 1, tokenizer=ADDED, tokenizer_config={"eos_token": eos}) == (1, 306)


def test_it_may_stand_in_the_map_of_special_tokens(tmp_path: Path) -> None:
    assert ends(tmp_path, tokenizer=ADDED, special_tokens_map={"eos_token": {"content": IM_END}}) == (306,)


@pytest.mark.parametrize(
    "files",
    [
        {"tokenizer": {"model": {"vocab": {"a": 0, IM_END: 306}}}},
        {"tokenizer": {"model": {"vocab": [["a", -1.0]] * 306 + [[IM_END, -2.0]]}}},
        {"tokenizer_config": {"added_tokens_decoder": {"306": {"content": IM_END}}, "eos_token": IM_END}},
    ],
)
def test_its_id_is_found_wherever_tokenizers_name_it(tmp_path: Path, files: dict[str, Any]) -> None:
    assert ends(tmp_path, **{"tokenizer_config": {"eos_token": IM_END}, **files}) == (306,)


def test_the_end_of_a_turn_counts_besides(tmp_path: Path) -> None:
    added = [*ADDED["added_tokens"], {"id": 307, "content": "<|eot_id|>"}]
    tokenizer = {"added_tokens": added}
    assert ends(tmp_path, 1, tokenizer=tokenizer, tokenizer_config={"eos_token": IM_END}) == (1, 306, 307)


@pytest.mark.parametrize("junk", [None, [], "x", {"content": 5}, [{"content": IM_END}], {"vocab": 3}])
def test_files_that_are_not_as_expected_name_nothing(tmp_path: Path, junk: Any) -> None:
    files = {
        "tokenizer": {"added_tokens": junk, "model": junk},
        "tokenizer_config": {"eos_token": junk, "added_tokens_decoder": junk},
    }
    assert ends(tmp_path, 1, **files) == (1,)


@pytest.mark.parametrize("wrong", ["x", -1, VOCABULARY, True, 1.5])
def test_what_is_no_token_id_is_refused_in_the_config_and_told_elsewhere(tmp_path: Path, wrong: Any) -> None:
    with capture_logs() as logs:
        assert ends(tmp_path, 1, generation_config={"eos_token_id": wrong}) == (1,)
    assert logs[0]["ids"] == [wrong]
    with pytest.raises(CheckpointError, match=r"config\.json: eos_token_id"):
        ends(tmp_path, wrong)


def test_one_line_says_which_hold_and_how_they_are_spelled(tmp_path: Path) -> None:
    ends(tmp_path, tokenizer=ADDED)
    with capture_logs() as logs:
        log_end_tokens((305, 306), Vocabulary.read(Checkpoint("folder", tmp_path)))
        log_end_tokens((), Vocabulary({}, None))
    assert [line["log_level"] for line in logs] == ["info", "warning"]
    assert (logs[0]["ids"], logs[0]["tokens"]) == ([305, 306], [None, IM_END])
