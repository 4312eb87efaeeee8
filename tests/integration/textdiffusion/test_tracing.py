import asyncio
import socket
import sys
import time
from collections.abc import Iterator

import pytest
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import StatusCode
from pydantic import ValidationError

from testing.collector import Collector, collecting
from testing.traces import TRACE_ID, TRACEPARENT, Recorder
from textdiffusion import otlp
from textdiffusion.otlp import OpenTelemetry, provider_for
from textdiffusion.settings import EXPORTER, TracingSettings
from textdiffusion.spans import NO_SPAN, NO_TRACING
from textdiffusion.tracing import configure_tracing


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


@pytest.fixture
def collector() -> Iterator[Collector]:
    with collecting() as collector:
        yield collector


def recorded_while(recorder: Recorder, error: BaseException | None = None) -> ReadableSpan:
    with recorder.tracing.serving("s", ()):
        if error:
            raise error
    (span,) = recorder.spans
    return span


def test_nobody_s_spans_are_one_and_the_same_and_ask_for_nothing() -> None:
    def attributes() -> dict[str, str]:
        raise AssertionError("nobody records them")

    assert configure_tracing(TracingSettings(), "router", "console") is NO_TRACING
    with NO_TRACING.serving("s", [("traceparent", TRACEPARENT)]) as span, span.calling("c") as call:
        assert span is call is NO_SPAN
        span.set(attributes)
        span.rename("t")
        span.event("now")
        span.fail("wrong")
    assert (span.trace_id, span.headers) == ("", ())
    NO_TRACING.close()


def test_attributes_that_are_none_or_larger_than_otlp_s_integers_stay_absent(recorder: Recorder) -> None:
    integers = {"least": -(2**63), "most": 2**63 - 1, "less": -(2**63) - 1, "more": 2**63, "true": True}
    with recorder.tracing.serving("s", ()) as span:
        span.set(lambda: {**integers, "none": None, "text": "ä", "list": ["a", "b"], "float": 1e300})
    (ended,) = recorder.spans
    assert ended.attributes == {
        "least": -(2**63),
        "most": 2**63 - 1,
        "true": True,
        "text": "ä",
        "list": ("a", "b"),
        "float": 1e300,
    }
    assert encode_spans([ended]).resource_spans


def test_the_first_failure_is_the_one_that_is_told(recorder: Recorder) -> None:
    with recorder.tracing.serving("s", ()) as span:
        span.fail("client's", is_fault=False)
        span.fail("ours")
    (ended,) = recorder.spans
    assert ended.attributes == {"error.type": "client's"}
    assert ended.status.status_code is StatusCode.UNSET


@pytest.mark.parametrize(
    ("error", "told", "status"),
    [
        (KeyError("secret"), "KeyError", StatusCode.ERROR),
        (asyncio.CancelledError(), "cancelled", StatusCode.UNSET),
        (GeneratorExit(), "cancelled", StatusCode.UNSET),
    ],
)
def test_an_exception_ends_the_span_and_its_words_stay_out_of_it(
    recorder: Recorder, error: BaseException, told: str, status: StatusCode
) -> None:
    with pytest.raises(type(error)):
        recorded_while(recorder, error)
    (span,) = recorder.spans
    assert span.attributes == {"error.type": told}
    assert (span.status.status_code, span.status.description, list(span.events)) == (status, None, [])


def test_headers_are_found_in_any_case_and_among_binary_metadata(recorder: Recorder) -> None:
    headers = [("x-bin", b"\xff"), ("TraceParent", TRACEPARENT), ("traceState", "a=1"), ("tracestate", "b=2")]
    with recorder.tracing.serving("s", headers) as span:
        assert span.trace_id == TRACE_ID
        assert dict(span.headers)["tracestate"] == "a=1,b=2"


@pytest.mark.parametrize("path", ["", "/", "/v1/traces", "/v1/traces/"])
def test_spans_are_sent_to_the_path_for_traces_whether_or_not_it_is_named(collector: Collector, path: str) -> None:
    tracing = configure_tracing(TracingSettings(otlp_endpoint=collector.url + path), "router", "console")
    with tracing.serving("s", ()):
        pass
    tracing.close()
    assert collector.paths == {"/v1/traces"}
    ((process, span),) = collector.spans
    assert (process["service.name"], span.name) == ("tdi-router", "s")


def test_opentelemetry_s_own_variables_hold_for_the_rest(collector: Collector, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_SERVICE_NAME", "mine")
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "service.version=7,deployment=lab")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "x-key=secret")
    tracing = OpenTelemetry(provider_for(collector.url, None, "worker"))
    with tracing.serving("s", ()):
        pass
    tracing.close()
    ((process, _),) = collector.spans
    assert (process["service.name"], process["service.version"], process["deployment"]) == ("mine", "7", "lab")
    assert collector.headers[0]["x-key"] == "secret"


@pytest.mark.parametrize(("headers", "sent"), [((), 0), ([("traceparent", TRACEPARENT)], 1)])
def test_the_share_of_traces_holds_for_those_that_begin_here(
    collector: Collector, headers: list[tuple[str, str]], sent: int
) -> None:
    tracing = OpenTelemetry(provider_for(collector.url, 0.0, "router"))
    with tracing.serving("s", headers):
        pass
    tracing.close()
    assert len(collector.spans) == sent


def test_the_variable_for_the_share_holds_where_the_setting_is_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "always_off")
    silent, set_ = (provider_for("http://127.0.0.1:1", ratio, "router") for ratio in (None, 1.0))
    assert silent.sampler.get_description() == "AlwaysOffSampler"
    assert "TraceIdRatioBased{1.0}" in set_.sampler.get_description()
    for provider in (silent, set_):
        provider.shutdown()


def test_a_collector_that_never_answers_does_not_hold_up_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(otlp, "FLUSH_SECONDS", 0.2)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "30")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        tracing = OpenTelemetry(provider_for(f"http://127.0.0.1:{silent.getsockname()[1]}", None, "router"))
        with tracing.serving("s", ()):
            pass
        began = time.monotonic()
        tracing.close()
        assert 0.2 <= time.monotonic() - began < 20


@pytest.mark.parametrize(
    ("variable", "value"), [("OTEL_BSP_SCHEDULE_DELAY", "0"), ("OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT", "-1")]
)
def test_a_variable_of_opentelemetry_s_that_is_wrong_is_one_sentence(
    variable: str, value: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(SystemExit) as exit_:
        configure_tracing(TracingSettings(otlp_endpoint="http://127.0.0.1:1"), "router", "console")
    assert exit_.value.code == 1
    (sentence,) = capsys.readouterr().err.splitlines()
    assert sentence.startswith("error: environment: one of OpenTelemetry's own variables is wrong: ")


@pytest.mark.parametrize(
    "endpoint",
    ["", "localhost:4318", "grpc://host:4317", "http://", "http:// host", "http://host/?key=1", "https:///x"],
)
def test_an_endpoint_has_to_be_the_url_of_a_collector(endpoint: str) -> None:
    with pytest.raises(ValidationError, match="otlp_endpoint"):
        TracingSettings(otlp_endpoint=endpoint)


@pytest.mark.parametrize("ratio", [-0.1, 1.1, float("nan")])
def test_a_share_is_between_none_and_all(ratio: float) -> None:
    with pytest.raises(ValidationError, match="sample_ratio"):
        TracingSettings(sample_ratio=ratio)


def test_an_endpoint_without_opentelemetry_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, EXPORTER, None)
    with pytest.raises(ValidationError, match="uv sync --inexact --extra tracing"):
        TracingSettings(otlp_endpoint="http://127.0.0.1:4318")
    assert TracingSettings().otlp_endpoint is None
