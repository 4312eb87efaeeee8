"""What a request for text leaves in a trace: a span of its own; within it is one for each call that it costs.

The span says what the request's line in the log says, and what was asked for; of what users wrote, nothing. Only
that span names the usage as OpenTelemetry does, so that whoever adds it up over all spans counts it once.
"""

from collections.abc import Iterator
from typing import Final

from aiohttp import web

from router.generation.call import SEEDS
from router.generation.recorder import LEFT
from router.http.middleware import CLIENT_LEFT, Handler
from router.http.routing import ROUTES
from router.schema.generation import GenerationRequest
from router.services import FACTS, REQUEST_ID, SERVICES
from textdiffusion.spans import NO_SPAN, Span

SPAN = web.RequestKey("span", Span)

PROVIDER: Final = "text-diffusion-inference"
CLIENT_ERRORS: Final = range(400, 500)
STANDARD_OPTIONS: Final = frozenset({"max_tokens", "temperature", "top_p", "top_k", "seed"})


@web.middleware
async def trace(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Goes on with the client's trace; a handler returns when it has written the last byte of its stream."""
    request[SPAN] = NO_SPAN
    route = request.app[ROUTES].at(request)
    if route is None or route.operation is None:
        return await handler(request)
    with request.app[SERVICES].tracing.serving(route.operation, request.headers.items()) as span:
        request[SPAN] = span
        if span.trace_id:
            request[FACTS]["trace_id"] = span.trace_id
        status = CLIENT_LEFT
        try:
            response = await handler(request)
            status = response.status
        finally:
            _tell_outcome(request, route.operation, status)
    return response


def tell_request(span: Span, asked: GenerationRequest) -> None:
    """What is left out is the worker's to know; options that hold tokens are not told."""
    span.set(
        lambda: {
            **{_attribute(name): value for name, value in _told(asked)},
            "gen_ai.request.choice.count": asked.choices,
            "gen_ai.request.stream": asked.stream,
        }
    )


def _told(asked: GenerationRequest) -> Iterator[tuple[str, str | float]]:
    for name, value in asked.options.items():
        if name == "seed":
            yield name, _signed(value)
        elif value is not False and isinstance(value, (str, int, float)):
            yield name, value


def _attribute(option: str) -> str:
    """OpenTelemetry has names for some of them."""
    return f"{'gen_ai' if option in STANDARD_OPTIONS else 'tdi'}.request.{option}"


def _tell_outcome(request: web.Request, operation: str, status: int) -> None:
    span, facts = request[SPAN], request[FACTS]
    if model := facts.get("model"):
        span.rename(f"{operation} {model}")
    span.set(
        lambda: {
            "gen_ai.operation.name": operation,
            "gen_ai.provider.name": PROVIDER,
            "gen_ai.request.model": model,
            "gen_ai.response.finish_reasons": facts.get("finish_reasons"),
            "gen_ai.usage.input_tokens": facts.get("prompt_tokens"),
            "gen_ai.usage.output_tokens": facts.get("completion_tokens"),
            "http.response.status_code": None if status == CLIENT_LEFT else status,
            "tdi.request.id": request[REQUEST_ID],
            "tdi.forward_passes": facts.get("forward_passes"),
            "tdi.committed_tokens": facts.get("committed_tokens"),
        }
    )
    if error := facts.get("error", LEFT if status == CLIENT_LEFT else None):
        span.fail(error, is_fault=status not in CLIENT_ERRORS)  # a stream may break that began with 200


def _signed(seed: int) -> int:
    """The same seed, in the range of the integers of traces."""
    return (seed + SEEDS // 2) % SEEDS - SEEDS // 2
