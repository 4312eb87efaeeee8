from typing import get_args

import pytest

from client.arguments import parse
from client.options import OPTIONS
from router.schema.generation import GenerationRequest
from router.schema.tolerance import Tolerated
from textdiffusion.generation_options import Canvas, KvCache, Remasking

NO_OPTIONS = {
    "model",  # --model
    "stream",  # unless --json is given
    "diffusing",  # --watch
    "stream_options",  # of what the client does not show
    "n",  # a terminal shows one answer
    "logit_bias",  # of token ids, which the client knows nothing of
    "use_cache",  # --kv-cache
    "use_dual_cache",
    "include_stop_str_in_output",  # a terminal shows text
    "skip_special_tokens",
}

EXCLUDED = {"factor", "steps_per_block"}  # by `threshold` and `steps`


def test_every_option_of_a_request_is_a_flag() -> None:
    assert set(OPTIONS) == GenerationRequest.model_fields.keys() - Tolerated.model_fields.keys() - NO_OPTIONS


@pytest.mark.parametrize(("option", "names"), [("kv_cache", KvCache), ("remasking", Remasking), ("canvas", Canvas)])
def test_the_help_has_the_names_that_the_server_knows(option: str, names: object) -> None:
    *_, told = OPTIONS[option]["help"].partition(": ")
    assert tuple(told.replace(" or ", ", ").split(", ")) == get_args(names)


@pytest.mark.parametrize("option", ["kv_cache", "remasking"])
def test_a_name_that_the_client_does_not_know_may_be_asked_for(option: str) -> None:
    assert parse([f"--{option.replace('_', '-')}=newest", "Hello"]).options == {option: "newest"}


def test_what_every_flag_gives_is_what_the_server_takes() -> None:
    values = {"kv_cache": "none", "remasking": "entropy", "canvas": "fixed", "stop": "."}
    flags = [
        f"--{name.replace('_', '-')}" + ("" if name == "ignore_eos" else f"={values.get(name, 1)}")
        for name in OPTIONS
        if name not in EXCLUDED
    ]
    options = parse([*flags, "Hello"]).options
    assert options.keys() == OPTIONS.keys() - EXCLUDED
    GenerationRequest(model="tiny", **options)


def test_what_is_not_given_is_left_to_the_server() -> None:
    assert parse(["Hello"]).options == {}


@pytest.mark.parametrize("flag", ["--steps=1.5", "--seed=x", "--temperature=nan", "--threshold=inf", "--ignore-eos=1"])
def test_what_no_request_could_say_is_refused_by_the_flag_s_name(flag: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exited:
        parse([flag, "Hello"])
    assert exited.value.code == 2
    assert f"argument {flag.partition('=')[0]}: " in capsys.readouterr().err
