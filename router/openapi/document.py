"""The OpenAPI document of this server."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

from router import errors
from router.http.limits import REQUESTS, TOKENS
from router.http.middleware import REQUEST_ID_HEADER
from router.http.routing import JSON, Answer, Errors, Operation, Route, RouteTable, Stream
from router.http.sse import json_text
from router.openapi.schemas import Kind, components, reference
from router.schema.fields import Strict
from router.schema.responses import ErrorObject, Json
from textdiffusion import __version__

TITLE: Final = "Text Diffusion Inference"
ABOUT: Final = (
    "An OpenAI-compatible server for masked-diffusion language models. In a request null is the same as leaving the "
    "field out; fields that nobody knows are refused. Every answer has an x-request-id, every error OpenAI's error "
    "object with all four keys."
)
KEY: Final = "apiKey"
ALWAYS: Final[Errors] = (
    errors.InvalidHttpError,
    errors.HostNotAllowedError,
    errors.ExpectationFailedError,
    errors.InternalError,
)

# What the headers that errors come with have to say.
HEADERS: Final = {
    "Retry-After": "seconds after which the same request would probably be taken",
    "WWW-Authenticate": "how to say who you are",
    "x-should-retry": "false where OpenAI's clients should not try again by themselves",
    "Connection": "close, where this connection takes no further request",
}

LIMIT_HEADERS: Final = {
    f"x-ratelimit-{which}-{what}": f"{meaning}, where {what} are limited"
    for what in (REQUESTS, TOKENS)
    for which, meaning in {
        "limit": f"{what} that you may ask for in a minute",
        "remaining": f"{what} that are left of them",
        "reset": "time until all of them are back: `7.66s`, `1m0s`",
    }.items()
}


def openapi_document(table: RouteTable) -> Json:
    """OpenAPI 3.1, as JSON."""
    operations = table.documented.values()
    return {
        "openapi": "3.1.0",
        "info": {
            "title": TITLE,
            "version": __version__,
            "description": ABOUT,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": _paths(table.documented),
        "components": {
            "schemas": components(_requests(operations), _answers(operations)),
            "parameters": {"RequestId": _request_id_parameter()},
            "headers": {
                REQUEST_ID_HEADER: _header("the id of the request, its own or a new one"),
                **{name: _header(description) for name, description in LIMIT_HEADERS.items()},
            },
            "securitySchemes": {KEY: {"type": "http", "scheme": "bearer"}},
        },
    }


def errors_of(route: Route, operation: Operation) -> Errors:
    keyed: Errors = (errors.InvalidApiKeyError,) if route.access == "key" else ()
    limited: Errors = (errors.RateLimitExceededError,) if route.limited else ()
    return (*ALWAYS, *keyed, *limited, *operation.errors)


def _paths(documented: Mapping[Route, Operation]) -> Json:
    paths: dict[str, Json] = defaultdict(dict)
    for route, operation in documented.items():
        paths[route.template][route.method.lower()] = _operation(route, operation)
    return dict(paths)


def _requests(operations: Iterable[Operation]) -> Iterator[Kind]:
    return (operation.request for operation in operations if operation.request)


def _answers(operations: Iterable[Operation]) -> Iterator[Kind]:
    yield ErrorObject
    for operation in operations:
        yield from (answer.kind for answer in operation.answers.values() if answer.kind)
        if operation.stream:
            yield operation.stream.kind


def _operation(route: Route, operation: Operation) -> Json:
    described: Json = {
        "operationId": operation.id,
        "tags": [operation.tag],
        "summary": operation.summary,
        "parameters": [_path_parameter(*one) for one in operation.parameters.items()]
        + [{"$ref": "#/components/parameters/RequestId"}],
        "responses": _responses(route, operation),
        # Without keys there is nothing to show.
        "security": [{KEY: []}, {}] if route.access == "key" else [],
    }
    if operation.description:
        described["description"] = operation.description
    if operation.request:
        described["requestBody"] = _request_body(operation.request, operation.examples)
    return described


def _path_parameter(name: str, description: str) -> Json:
    return {
        "name": name,
        "in": "path",
        "required": True,
        "description": description,
        "schema": {"type": "string", "minLength": 1},
    }


def _request_id_parameter() -> Json:
    return {
        "name": REQUEST_ID_HEADER,
        "in": "header",
        "required": False,
        "description": "an id for this request, which is told back: up to 128 letters, digits, dots, dashes and "
        "underscores; anything else is replaced",
        "schema": {"type": "string"},
    }


def _request_body(request: type[Strict], examples: Mapping[str, Json]) -> Json:
    named = {name: {"value": example} for name, example in examples.items()}
    return {
        "required": True,
        "content": {JSON: {"schema": reference(request), "examples": named}},
    }


def _responses(route: Route, operation: Operation) -> Json:
    told = {str(status): _answer(answer) for status, answer in operation.answers.items()}
    if operation.stream:
        told["200"]["content"]["text/event-stream"] = _events(operation.stream)
    by_status: dict[str, list[type[errors.RouterError]]] = defaultdict(list)
    for kind in errors_of(route, operation):
        by_status[str(errors.ANSWERS[kind].status)].append(kind)
    told.update({status: _errors(kinds) for status, kinds in by_status.items()})
    common = [REQUEST_ID_HEADER, *(LIMIT_HEADERS if route.limited else ())]
    shared = {name: {"$ref": f"#/components/headers/{name}"} for name in common}
    return {status: {**told[status], "headers": {**shared, **told[status]["headers"]}} for status in sorted(told)}


def _answer(answer: Answer) -> Json:
    content = {content_type: _content(answer, content_type) for content_type in answer.content_types}
    return {"description": answer.description, "headers": {}, "content": content}


def _content(answer: Answer, content_type: str) -> Json:
    if content_type != JSON:
        return {"schema": {"type": "string"}}
    schema = reference(answer.kind) if answer.kind else {"type": "object"}
    return {"schema": schema} if answer.example is None else {"schema": schema, "example": answer.example}


def _events(stream: Stream) -> Json:
    """Each event of a stream, as OpenAPI 3.2 would have it in `itemSchema`."""
    told = {"oneOf": [reference(stream.kind), reference(ErrorObject)]}
    last = {"const": "[DONE]", "description": "the last one"}
    data = {"anyOf": [last, {"type": "string", "contentMediaType": JSON, "contentSchema": told}]}
    return {
        "schema": {
            "description": "One event. An error can only be the last but one.",
            "type": "object",
            "required": ["data"],
            "properties": {"data": data},
        },
        "example": {"data": json_text(stream.example)},
    }


def _errors(kinds: Sequence[type[errors.RouterError]]) -> Json:
    """The answer that all errors of one status share."""
    answers = [errors.ANSWERS[kind] for kind in kinds]
    description = "\n".join(f"`{_code(answer)}`: {answer.situation}" for answer in answers)
    headers = {
        name: _header(HEADERS[name]) for answer in answers for name in (*answer.headers, *answer.varying_headers)
    }
    examples = {_code(answer): {"value": _error(answer)} for answer in answers}
    content = {JSON: {"schema": reference(ErrorObject), "examples": examples}}
    return {"description": description, "headers": headers, "content": content}


def _code(answer: errors.Answer) -> str:
    return answer.code or "null"


def _error(answer: errors.Answer) -> ErrorObject:
    message = answer.message or answer.situation
    return {"error": {"message": message, "type": answer.type, "param": None, "code": answer.code}}


def _header(description: str) -> Json:
    return {"description": description, "schema": {"type": "string"}}
