from typing import Any

import pytest
import schemathesis
from pydantic import TypeAdapter

from router.errors import ANSWERS, MethodNotAllowedError
from router.http.routing import Operation, Route, RouteTable
from router.openapi.document import errors_of, openapi_document
from router.openapi.rows import is_request
from router.openapi.schemas import NULL
from router.routes import TABLE
from router.schema.parsing import parse

DOCUMENT = openapi_document(TABLE)
OPERATIONS = TABLE.documented.values()
SCHEMAS = DOCUMENT["components"]["schemas"]

every_route = pytest.mark.parametrize(
    ("route", "operation"), TABLE.documented.items(), ids=[one.id for one in OPERATIONS]
)
every_operation = pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.id)


def test_it_is_a_valid_document() -> None:
    schemathesis.openapi.from_dict(openapi_document(TABLE)).validate()


def test_it_has_every_route_that_says_so_and_no_other() -> None:
    described = {(path, method) for path, methods in DOCUMENT["paths"].items() for method in methods}
    assert described == {(route.template, route.method.lower()) for route in TABLE.documented}


def test_a_route_without_an_operation_is_not_in_it() -> None:
    hidden, shown = TABLE.routes[:2]
    table = RouteTable({hidden: None, shown: TABLE.documented[shown]})
    assert table.routes == (hidden, shown)
    assert openapi_document(table)["paths"].keys() == {shown.template}


@every_route
def test_it_says_which_paths_need_a_key_and_which_are_limited(route: Route, operation: Operation) -> None:
    described = DOCUMENT["paths"][route.template][route.method.lower()]
    assert described["operationId"] == operation.id
    assert bool(described["security"]) is (route.access == "key")
    assert ("401" in described["responses"]) is (route.access == "key")
    assert ("429" in described["responses"]) is route.limited
    assert ("x-ratelimit-limit-tokens" in described["responses"]["200"]["headers"]) is route.limited


def test_every_error_can_happen_somewhere() -> None:
    told = {kind for described in TABLE.documented.items() for kind in errors_of(*described)}
    assert told == ANSWERS.keys() - {MethodNotAllowedError}


@every_route
def test_no_error_hides_behind_an_answer_of_the_same_status(route: Route, operation: Operation) -> None:
    assert not operation.answers.keys() & {ANSWERS[kind].status for kind in errors_of(route, operation)}


@pytest.mark.parametrize("operation", [one for one in OPERATIONS if one.request], ids=lambda operation: operation.id)
def test_the_requests_that_it_shows_are_accepted(operation: Operation) -> None:
    assert operation.request
    assert operation.examples
    for example in operation.examples.values():
        parse(operation.request, TypeAdapter(dict[str, Any]).dump_json(example))


@every_operation
def test_the_answers_that_it_shows_are_of_their_kind(operation: Operation) -> None:
    shown = [(answer.kind, answer.example) for answer in operation.answers.values() if answer.example]
    shown += [(operation.stream.kind, operation.stream.example)] if operation.stream else []
    for kind, example in shown:
        assert TypeAdapter(kind).validate_python(example, strict=True) == example


@pytest.mark.parametrize("name", [name for name, schema in SCHEMAS.items() if is_request(schema)])
def test_null_stands_for_every_field_that_may_be_left_out(name: str) -> None:
    schema = SCHEMAS[name]
    for field, described in schema["properties"].items():
        takes_null = NULL in described.get("anyOf", ()) or None in described.get("enum", ())
        assert takes_null is (field not in schema.get("required", ())), field
        assert "default" not in described or described["default"] is not None


def test_only_fields_whose_type_says_it_all_go_without_a_meaning() -> None:
    for name, schema in SCHEMAS.items():
        for field, described in schema["properties"].items():
            says_it_all = {"$ref", "const", "items"} & described.keys()
            assert described.get("description") or says_it_all, f"{name}.{field}"


def test_a_stream_s_events_are_chunks_or_an_error_and_at_last_done() -> None:
    content = DOCUMENT["paths"]["/v1/chat/completions"]["post"]["responses"]["200"]["content"]["text/event-stream"]
    done, told = content["schema"]["properties"]["data"]["anyOf"]
    assert done["const"] == "[DONE]"
    assert [one["$ref"].rpartition("/")[2] for one in told["contentSchema"]["oneOf"]] == [
        "ChatCompletionChunk",
        "ErrorObject",
    ]
