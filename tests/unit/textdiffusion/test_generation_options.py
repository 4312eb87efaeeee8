"""Whoever reads the declaration has each option that is in it."""

import math
from collections.abc import Callable
from typing import Any, get_type_hints

import pytest
from pydantic import ValidationError

from client.options import OPTIONS as FLAGS
from client.options import WITHOUT_FLAG
from router.openapi.document import openapi_document
from router.pages import made_anew
from router.routes import TABLE
from router.schema.chat import ChatRequest
from router.schema.completions import CompletionRequest
from router.schema.responses import GenerationDefaults
from router.tracing import tell_request
from testing.folders import ROOT
from textdiffusion.generation_options import OPTIONS, Option
from textdiffusion.option_fields import DefaultFields, OptionFields
from textdiffusion.settings import GenerationSettings
from textdiffusion.spans import Attributes, Span
from textdiffusion.v1 import textdiffusion_pb2 as pb
from textdiffusion.wire import read_options, write_options
from worker.options import BUILT_IN
from worker.sampling_params import SamplingParams

API = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
VALUES: dict[Any, Any] = {int: 1, float: 0.5, bool: True}
HOLD_TOKENS = {"logit_bias", "stop_token_ids", "end_of_thinking_ids"}
DECIDE_END_TOKENS = {"ignore_eos", "stop_token_ids"}

each_option = pytest.mark.parametrize("option", OPTIONS.values(), ids=OPTIONS)


def value_of(option: Option) -> Any:
    """One that it may have, and that is exact on the wire."""
    if option.choices:
        return option.choices[-1]
    return (
        VALUES.get(option.type)
        or {"logit_bias": {7: 0.5}, "stop_token_ids": [7], "end_of_thinking_ids": [7]}[option.name]
    )


def _in_json(option: Option) -> dict[str, Any]:
    value = value_of(option)
    return {option.name: {str(token): bias for token, bias in value.items()} if isinstance(value, dict) else value}


class Recorded(Span):
    def set(self, attributes: Callable[[], Attributes]) -> None:
        self.attributes = attributes()


@each_option
def test_config_toml_has_what_has_a_default_and_nothing_else(option: Option) -> None:
    assert (option.name in GenerationSettings.model_fields) is option.has_default
    if option.has_default:
        assert GenerationSettings.model_fields[option.name].description == option.meaning
        settings = GenerationSettings.model_validate({option.name: value_of(option)})
        assert getattr(settings, option.name) == value_of(option)


@each_option
@pytest.mark.parametrize("kind", [ChatRequest, CompletionRequest])
def test_requests_have_it_with_its_meaning(option: Option, kind: type[OptionFields]) -> None:
    described = openapi_document(TABLE)["components"]["schemas"][kind.__name__]["properties"][option.name]
    assert described["description"] == kind.model_fields[option.name].description == option.meaning


@each_option
def test_it_comes_back_from_the_wire_as_it_was(option: Option) -> None:
    given = {option.name: value_of(option)}
    assert read_options(write_options(given)) == given


@each_option
def test_the_wire_has_all_of_its_choices(option: Option) -> None:
    for choice in option.choices:
        assert read_options(write_options({option.name: choice})) == {option.name: choice}


@each_option
def test_the_engine_knows_it_by_its_name_on_the_wire(option: Option) -> None:
    kind = get_type_hints(SamplingParams).get(option.wire_name)
    assert (kind is None) is (option.name in DECIDE_END_TOKENS)
    if kind is not None and option.choices:
        assert [member.value for member in kind] == list(option.choices)


@each_option
def test_the_client_has_a_flag_for_it(option: Option) -> None:
    assert (option.name in FLAGS) is (option.name not in WITHOUT_FLAG)
    if option.name in FLAGS:
        assert FLAGS[option.name]["help"].startswith(option.meaning.partition(";")[0].replace("%", "%%"))


@each_option
def test_traces_tell_it_unless_it_holds_tokens(option: Option) -> None:
    asked = CompletionRequest.model_validate({"prompt": "a", **_in_json(option)})
    span = Recorded()
    tell_request(span, asked)
    told = {name.rpartition(".")[2] for name in span.attributes}
    assert (option.name in told) is (option.name not in HOLD_TOKENS)


@each_option
def test_v1_models_tells_its_default(option: Option) -> None:
    assert (option.name in GenerationDefaults.__annotations__) is option.has_default


@each_option
def test_the_documentation_tells_its_meaning(option: Option) -> None:
    assert any(line.startswith(f"| `{option.name}` |") and option.meaning in line for line in API.splitlines())
    assert made_anew(API) == API


def test_what_is_built_in_is_allowed_and_known_to_all() -> None:
    assert GenerationSettings.model_validate(BUILT_IN).model_dump(exclude_none=True) == BUILT_IN
    assert all(OPTIONS[name].family is None for name in BUILT_IN)


def test_what_is_left_out_stays_absent_on_the_wire() -> None:
    assert write_options(DefaultFields().model_dump()) == pb.DiffusionOptions()
    assert read_options(pb.DiffusionOptions(top_logprobs=3)) == {}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("canvas", "shrink"), ("remasking", "origin")),
        *((name, 0) for name in ("steps_per_block", "min_parallel_tokens", "thinking_budget")),
        *((name, 2**31) for name in ("steps_per_block", "min_parallel_tokens", "min_tokens")),
        *(("min_tokens", -1), ("min_p", -0.1), ("min_p", 1.1), ("min_p", math.nan)),
        *(("end_of_thinking_boost", -1000.5), ("end_of_thinking_boost", 1000.5), ("end_of_thinking_boost", math.inf)),
        *(("end_of_thinking_power", -1), ("end_of_thinking_power", 100.5), ("temperature", math.nan)),
    ],
)
def test_a_default_that_is_out_of_range_is_refused_by_its_name(name: str, value: Any) -> None:
    with pytest.raises(ValidationError) as caught:
        GenerationSettings.model_validate({name: value})
    assert caught.value.errors()[0]["loc"] == (name,)


@pytest.mark.parametrize("name", ["seed", "logit_bias", "ignore_eos", "end_of_thinking_ids"])
def test_what_is_of_a_request_alone_is_no_default(name: str) -> None:
    with pytest.raises(ValidationError, match="Extra inputs are not permitted"):
        GenerationSettings.model_validate({name: 1})


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"threshold": 0.9, "factor": 1}, "threshold and factor exclude each other"),
        ({"steps": 8, "steps_per_block": 4}, "steps and steps_per_block exclude each other"),
        ({"min_parallel_tokens": 4, "max_parallel_tokens": 3}, "min_parallel_tokens must not be more than max_par"),
        ({"min_tokens": 9, "max_tokens": 8}, "min_tokens must not be more than max_tokens"),
        ({"canvas": "grow", "cfg_scale": 1}, "canvas is grow, which does not go with cfg_scale, as guidance"),
    ],
)
def test_defaults_that_contradict_each_other_are_refused(options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValidationError, match=sentence):
        GenerationSettings.model_validate(options)
