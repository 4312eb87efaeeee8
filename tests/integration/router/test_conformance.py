"""The server does what its OpenAPI document says: schemathesis makes the requests from it and judges the answers.

Boundaries are tried one by one, and then what Hypothesis comes up with, the same in each run: requests that the
document allows, which must be answered, and others, which must be refused.
"""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis

from router.openapi.document import openapi_document
from router.openapi.examples import MODEL_ID
from router.openapi.rows import is_request
from router.routes import TABLE
from testing.folders import ROOT

LAST_TOKEN = 2**32 - 2  # a vocabulary is counted in 32 bits
FEW = 8

RULED_OUT_BY = {
    "factor": {"threshold"},
    "steps_per_block": {"steps"},
    "min_parallel_tokens": {"max_parallel_tokens"},
    "min_tokens": {"max_tokens", "max_completion_tokens"},
    "canvas": {"cfg_scale", "suffix"},
    "max_completion_tokens": {"max_tokens"},
    "use_cache": {"kv_cache", "use_dual_cache"},
    "use_dual_cache": {"kv_cache"},
    "echo": {"logprobs"},
    "continue_final_message": {"add_generation_prompt", "prompt"},
}
MEANT_FOR = {"stream_options": "stream", "diffusing": "stream", "top_logprobs": "logprobs"}
NOT_TO_BE_CALLED = {"tools": "tool_choice", "functions": "function_call"}
TOKENS = {"prompt", "tokens"}
BOUNDED = {"max_tokens", "max_completion_tokens", "block_length", "n"}


def strict(document: dict[str, Any]) -> dict[str, Any]:
    """The same document, but answers may have no field that it does not name."""
    schemas = document["components"]["schemas"]
    closed = {
        name: schema if is_request(schema) else {**schema, "additionalProperties": False}
        for name, schema in schemas.items()
    }
    return {**document, "components": {**document["components"], "schemas": closed}}


SCHEMA = schemathesis.openapi.from_dict(strict(openapi_document(TABLE)))
SCHEMA.config.generation.update(max_examples=60, deterministic=True)


@pytest.fixture(scope="module")
def url(tokenizer_folder: Path) -> Iterator[str]:
    command = [sys.executable, "-m", "testing.served", str(tokenizer_folder), MODEL_ID]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        yield process.stdout.readline().strip()


@SCHEMA.parametrize()
def test_the_server_keeps_to_its_document(case: Any, url: str) -> None:
    if isinstance(case.body, dict) and isinstance(case.body.get("model"), str):
        case.body["model"] = MODEL_ID  # whatever is wrong with a request for another one, that would come first
    if case.meta.generation.mode.is_positive and isinstance(case.body, dict):
        case.body = agreeing(case.body)
    case.call_and_validate(base_url=url)


def agreeing(body: dict[str, Any]) -> dict[str, Any]:
    """The same body, without what no schema can know: which model there is, what it holds, which fields agree."""
    given = {name: value for name, value in body.items() if value is not None}
    for field, others in RULED_OUT_BY.items():
        if others & given.keys():
            given.pop(field, None)
    for field, other in MEANT_FOR.items():
        if not given.get(other):
            given.pop(field, None)
    for field, choice in NOT_TO_BE_CALLED.items():
        if given.get(choice) != "none":
            given.pop(field, None)
    for field in BOUNDED & given.keys():
        given[field] = min(given[field], 1 if field == "block_length" else FEW)
    if "best_of" in given:
        given["best_of"] = given.get("n", 1)
    for field in TOKENS & given.keys():
        given[field] = known(given[field])
    return {**{name: value for name, value in body.items() if value is None}, **given}


def known(tokens: Any) -> Any:
    """Ids that the model has, for those in a list or in lists of it; texts are what they are."""
    if isinstance(tokens, list):
        return [known(one) for one in tokens]
    return tokens if isinstance(tokens, str) else min(tokens, LAST_TOKEN)
