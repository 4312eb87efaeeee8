"""What the router counts, for Prometheus.

Names are vLLM's where it has them, under the prefix `tdi_`. Every label has few values: models are those that workers
serve, routes are templates, outcomes are listed here. A name that a client made up must never become one.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields
from typing import Literal, get_args

from prometheus_client import CollectorRegistry, Counter, Histogram, Info, ProcessCollector
from prometheus_client.metrics_core import GaugeMetricFamily, Metric

from router.schema.responses import FinishReason
from textdiffusion import __version__

AdmissionOutcome = Literal["admitted", "queue_full", "queue_timeout", "client_left", "no_worker"]

# Beside the two ways to finish, as vLLM's counter of the same name has them: the client left, or something failed.
ABORT, ERROR = "abort", "error"

METHODS = frozenset({"CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE"})
HTTP_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 25, 60, 120, 300, 600)
LATENCY_SECONDS = (0.05, 0.1, 0.2, 0.3, 0.5, 0.8, 1, 1.5, 2, 2.5, 5, 10, 15, 20, 30, 40, 50, 60, 120, 240, 480, 960)
WAIT_SECONDS = (
    0.001,
    0.005,
    0.01,
    0.02,
    0.04,
    0.06,
    0.08,
    0.1,
    0.25,
    0.5,
    0.75,
    1,
    2.5,
    5,
    7.5,
    10,
    20,
    40,
    80,
    160,
    640,
)
TOKENS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 20_000, 50_000)
TOKENS_PER_PASS = (1, 1.25, 1.5, 2, 2.5, 3, 4, 6, 8, 12, 16, 24, 32, 64)


@dataclass(frozen=True, slots=True)
class QueueState:
    """How many requests of one model are at its workers now, and how many wait for their turn."""

    model: str
    running: int
    waiting: int


class Metrics:
    """The router's registry, and one method for each thing that happens in it.

    `model` is always the id of a model that the pool knows. `queues` is asked at every scrape, so that the gauges
    cannot drift from what they count.
    """

    def __init__(self, queues: Callable[[], Iterable[QueueState]]) -> None:
        self.queues = queues
        self.registry = CollectorRegistry()
        self._http = _HttpFamilies(self.registry)
        self._families = _model_families(self.registry)
        self._by_model: dict[str, _Series] = {}
        self._ended = Counter(
            "tdi_request_success_total",
            "Choices that ended, by reason: stop, length, abort (the client left) or error.",
            ("model_name", "finished_reason"),
            registry=self.registry,
        )
        self._admissions = Counter(
            "tdi_admissions_total",
            f"Requests that asked for a place at a worker, by outcome: {', '.join(get_args(AdmissionOutcome))}.",
            ("model_name", "outcome"),
            registry=self.registry,
        )
        self.registry.register(_QueueCollector(queues))
        ProcessCollector(registry=self.registry)
        Info("tdi_build", "The version of this software.", registry=self.registry).info({"version": __version__})

    def meet(self, models: Iterable[str]) -> None:
        """Begins all series of these models at zero, which a rate needs to start from."""
        for model in models:
            self._of(model)

    def http_request(self, route: str, method: str, status: int, seconds: float) -> None:
        """`route` is the route's template, never the path that was asked for."""
        self._http.count(route, method, status, seconds)

    def request_error(self, code: str) -> None:
        """A request was answered with an error, before or after its first byte."""
        self._http.errors.labels(code).inc()

    def admission(self, model: str, outcome: AdmissionOutcome) -> None:
        self._of(model).admissions[outcome].inc()

    def queue_time(self, model: str, seconds: float) -> None:
        self._of(model).families.queue_time.observe(seconds)

    def time_to_first_block(self, model: str, seconds: float) -> None:
        self._of(model).families.time_to_first_block.observe(seconds)

    def request_latency(self, model: str, seconds: float) -> None:
        self._of(model).families.latency.observe(seconds)

    def request_finished(
        self,
        model: str,
        reason: FinishReason,
        *,
        prompt_tokens: int,
        completion_tokens: int,
        forward_passes: int,
        committed_tokens: int,
        canvas_positions: int,
    ) -> None:
        """Once for each choice of a request, as each is a request of its own to the workers."""
        series = self._of(model)
        series.ended[reason].inc()
        families = series.families
        families.prompt_tokens.inc(prompt_tokens)
        families.generation_tokens.inc(completion_tokens)
        families.request_prompt_tokens.observe(prompt_tokens)
        families.request_generation_tokens.observe(completion_tokens)
        families.forward_passes.inc(forward_passes)
        families.committed_tokens.inc(committed_tokens)
        families.canvas_positions.inc(canvas_positions)
        if forward_passes:
            families.committed_per_pass.observe(committed_tokens / forward_passes)

    def request_retried(self, model: str) -> None:
        """A choice's worker was lost, and another has it now."""
        self._of(model).families.retries.inc()

    def request_aborted(self, model: str) -> None:
        """The client left; once for each choice that had not finished."""
        self._of(model).ended[ABORT].inc()

    def request_failed(self, model: str) -> None:
        """Something failed after admission; once for each choice that had not finished."""
        self._of(model).ended[ERROR].inc()

    def _of(self, model: str) -> "_Series":
        """The model's series, looked up once."""
        if model not in self._by_model:
            reasons = (*get_args(FinishReason), ABORT, ERROR)
            self._by_model[model] = _Series(
                families=self._families.of(model),
                ended={reason: self._ended.labels(model, reason) for reason in reasons},
                admissions={one: self._admissions.labels(model, one) for one in get_args(AdmissionOutcome)},
            )
        return self._by_model[model]


@dataclass(frozen=True, slots=True)
class _ModelFamilies:
    """Families with the label `model_name` alone, or what they hold of one model."""

    latency: Histogram
    time_to_first_block: Histogram
    queue_time: Histogram
    prompt_tokens: Counter
    generation_tokens: Counter
    request_prompt_tokens: Histogram
    request_generation_tokens: Histogram
    forward_passes: Counter
    canvas_positions: Counter
    committed_tokens: Counter
    committed_per_pass: Histogram
    retries: Counter

    def of(self, model: str) -> "_ModelFamilies":
        return _ModelFamilies(*(getattr(self, one.name).labels(model) for one in fields(self)))


@dataclass(frozen=True, slots=True)
class _Series:
    """All that is counted of one model."""

    families: _ModelFamilies
    ended: dict[str, Counter]
    admissions: dict[str, Counter]


def _model_families(registry: CollectorRegistry) -> _ModelFamilies:
    def counter(name: str, documentation: str) -> Counter:
        return Counter(name, documentation, ("model_name",), registry=registry)

    def histogram(name: str, documentation: str, buckets: Sequence[float]) -> Histogram:
        return Histogram(name, documentation, ("model_name",), registry=registry, buckets=buckets)

    return _ModelFamilies(
        latency=histogram(
            "tdi_e2e_request_latency_seconds",
            "From a request's arrival to the last byte of its reply.",
            LATENCY_SECONDS,
        ),
        time_to_first_block=histogram(
            "tdi_time_to_first_block_seconds",
            "From a streamed request's arrival to the first committed text that was sent.",
            WAIT_SECONDS,
        ),
        queue_time=histogram(
            "tdi_request_queue_time_seconds", "From a request's arrival to its place at a worker.", WAIT_SECONDS
        ),
        prompt_tokens=counter("tdi_prompt_tokens_total", "Prompt tokens of finished choices."),
        generation_tokens=counter(
            "tdi_generation_tokens_total", "Tokens that finished choices were made of, without the end token."
        ),
        request_prompt_tokens=histogram("tdi_request_prompt_tokens", "Prompt tokens of each finished choice.", TOKENS),
        request_generation_tokens=histogram(
            "tdi_request_generation_tokens", "Tokens of each finished choice, without the end token.", TOKENS
        ),
        forward_passes=counter(
            "tdi_diffusion_num_forward_passes_total",
            "Forward passes that finished choices took part in; one pass of several choices counts for each of them.",
        ),
        canvas_positions=counter(
            "tdi_diffusion_num_canvas_positions_total",
            "Canvas positions of finished choices: prompt, generated span and suffix.",
        ),
        committed_tokens=counter(
            "tdi_diffusion_num_committed_tokens_total",
            "Tokens committed for finished choices, the end token and what was committed behind it included.",
        ),
        committed_per_pass=histogram(
            "tdi_diffusion_committed_tokens_per_forward_pass",
            "Mean of the tokens committed per forward pass, of each finished choice.",
            TOKENS_PER_PASS,
        ),
        retries=counter(
            "tdi_request_retries_total",
            "Choices that another worker was asked for because the one that had them was lost.",
        ),
    )


class _HttpFamilies:
    """What is counted of every request, whatever it is for."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._requests = Counter(
            "tdi_http_requests_total",
            "HTTP requests, by route template; 499 is the status of those whose client left.",
            ("route", "method", "status"),
            registry=registry,
        )
        self._durations = Histogram(
            "tdi_http_request_duration_seconds",
            "From an HTTP request's head to the last byte of its response, streams included.",
            ("route", "method"),
            registry=registry,
            buckets=HTTP_SECONDS,
        )
        self.errors = Counter(
            "tdi_request_errors_total",
            "Requests that were answered with an error, by its code; its type where it has no code.",
            ("code",),
            registry=registry,
        )
        self._series: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}

    def count(self, route: str, method: str, status: int, seconds: float) -> None:
        method = method if method in METHODS else "other"
        key = (route, method, status)
        if key not in self._series:
            self._series[key] = self._requests.labels(*key), self._durations.labels(route, method)
        requests, durations = self._series[key]
        requests.inc()
        durations.observe(seconds)


class _QueueCollector:
    def __init__(self, ask: Callable[[], Iterable[QueueState]]) -> None:
        self._ask = ask

    def describe(self) -> Sequence[Metric]:
        return _queue_families(())

    def collect(self) -> Sequence[Metric]:
        return _queue_families(self._ask())


def _queue_families(states: Iterable[QueueState]) -> Sequence[Metric]:
    labels = ("model_name",)
    running = GaugeMetricFamily("tdi_num_requests_running", "Requests that are at a worker now.", labels=labels)
    waiting = GaugeMetricFamily(
        "tdi_num_requests_waiting", "Requests that wait for a place at a worker.", labels=labels
    )
    for state in states:
        running.add_metric((state.model,), state.running)
        waiting.add_metric((state.model,), state.waiting)
    return running, waiting
