"""Spans that OpenTelemetry records and sends to a collector, by OTLP over HTTP.

Every span is told what it belongs to. OpenTelemetry's own way, a span that is current wherever code happens to run,
breaks where a generator is closed by another task than the one that ran it, as those of gRPC are.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Final

import structlog
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ParentBasedTraceIdRatio
from opentelemetry.trace import Span as RecordedSpan
from opentelemetry.trace import SpanKind, StatusCode, Tracer, format_trace_id, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from textdiffusion import __version__
from textdiffusion.spans import Attributes, Headers, Span, Tracing

log = structlog.get_logger(__name__)

W3C: Final = TraceContextTextMapPropagator()
FLUSH_SECONDS: Final = 3.0
INTEGERS: Final = range(-(2**63), 2**63)


class OpenTelemetry(Tracing):
    def __init__(self, provider: TracerProvider) -> None:
        self._provider = provider
        self._tracer = provider.get_tracer("textdiffusion", __version__)

    def serving(self, name: str, headers: Headers) -> AbstractContextManager[Span]:
        context = W3C.extract(_trace_headers(headers))
        return _running(self._tracer, self._tracer.start_span(name, context, SpanKind.SERVER))

    def close(self) -> None:
        # On a thread that a process need not wait for: an export that is under way does not let itself be stopped.
        closing = threading.Thread(target=self._provider.shutdown, name="last spans", daemon=True)
        closing.start()
        closing.join(FLUSH_SECONDS)
        if closing.is_alive():
            log.warning("the last spans were not sent in time", seconds=FLUSH_SECONDS)


class _Span(Span):
    def __init__(self, tracer: Tracer, span: RecordedSpan) -> None:
        self._tracer = tracer
        self._span = span
        self._context = set_span_in_context(span)
        self._failed = False

    @property
    def trace_id(self) -> str:
        context = self._span.get_span_context()
        return format_trace_id(context.trace_id) if context.is_valid else ""

    @property
    def headers(self) -> list[tuple[str, str]]:
        headers: dict[str, str] = {}
        W3C.inject(headers, self._context)
        return list(headers.items())

    def calling(self, name: str) -> AbstractContextManager[Span]:
        return _running(self._tracer, self._tracer.start_span(name, self._context, SpanKind.CLIENT))

    def rename(self, name: str) -> None:
        self._span.update_name(name)

    def set(self, attributes: Callable[[], Attributes]) -> None:
        if not self._span.is_recording():
            return
        for name, value in attributes().items():
            # One integer that OTLP cannot hold would cost all the spans that are sent together.
            if value is not None and not (isinstance(value, int) and value not in INTEGERS):
                self._span.set_attribute(name, value)

    def event(self, name: str) -> None:
        self._span.add_event(name)

    def fail(self, error_type: str, *, is_fault: bool = True) -> None:
        if self._failed:
            return
        self._failed = True
        self._span.set_attribute("error.type", error_type)
        if is_fault:
            self._span.set_status(StatusCode.ERROR)


def provider_for(endpoint: str, sample_ratio: float | None, process: str) -> TracerProvider:
    """Sends spans to the collector at `endpoint`; what it does not say, OpenTelemetry's variables do.

    Raises `ValueError` if one of these is wrong.
    """
    ours = Resource.create({SERVICE_NAME: f"tdi-{process}", SERVICE_VERSION: __version__})
    provider = TracerProvider(
        sampler=None if sample_ratio is None else ParentBasedTraceIdRatio(sample_ratio),
        resource=ours.merge(OTELResourceDetector().detect()),
        shutdown_on_exit=False,
    )
    traces = endpoint.rstrip("/").removesuffix("/v1/traces") + "/v1/traces"
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(traces)))
    return provider


@contextmanager
def _running(tracer: Tracer, recorded: RecordedSpan) -> Iterator[Span]:
    span = _Span(tracer, recorded)
    try:
        yield span
    except Exception as error:
        span.fail(type(error).__name__)
        raise
    except BaseException:  # a task that is cancelled, a generator that is closed
        span.fail("cancelled", is_fault=False)
        raise
    finally:
        recorded.end()


def _trace_headers(headers: Headers) -> dict[str, str]:
    """Those of W3C's. What is repeated is joined, as in HTTP; a traceparent does not survive that, and shall not."""
    found: dict[str, str] = {}
    for name, value in headers:
        key = name.lower()
        if key in W3C.fields and isinstance(value, str):
            found[key] = f"{found[key]},{value}" if key in found else value
    return found
