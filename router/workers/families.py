"""What workers say of themselves, as Prometheus' metric families.

Each series names the worker by its model and its number: its place among the addresses that the router was given or,
behind a name, the lowest that was free when it came. The address would be no label for it: the sockets that the
launcher chooses are others at every start, as are the machines behind a name, and each would begin new series.
`tdi_worker_info` says which address a number stands for.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate

from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)

from router.workers.stats import WorkerSnapshot
from router.workers.worker import WorkerState
from textdiffusion.v1.textdiffusion_pb2 import GetStatsResponse

LABELS = ("model_name", "worker")


@dataclass(frozen=True, slots=True)
class Figure:
    """A family with one value per worker."""

    name: str
    documentation: str
    value: Callable[[GetStatsResponse], float]


GAUGES = (
    Figure(
        "tdi_worker_num_requests_running",
        "Requests that the worker denoises now.",
        lambda stats: stats.running_requests,
    ),
    Figure(
        "tdi_worker_num_requests_waiting",
        "Requests that wait inside the worker.",
        lambda stats: stats.queued_requests,
    ),
    Figure(
        "tdi_kv_cache_usage_perc",
        "Share of the worker's KV cache that is in use; 1 is all of it.",
        lambda stats: stats.kv_cache_positions_used / max(1, stats.kv_cache_positions_total),
    ),
    Figure(
        "tdi_worker_kv_cache_positions_used",
        "Canvas positions whose keys and values are held now.",
        lambda stats: stats.kv_cache_positions_used,
    ),
    Figure(
        "tdi_worker_kv_cache_positions",
        "Canvas positions whose keys and values can be held.",
        lambda stats: stats.kv_cache_positions_total,
    ),
    Figure(
        "tdi_worker_memory_used_bytes",
        "Memory in use on the worker's device; that of its process on a CPU.",
        lambda stats: stats.memory_used_bytes,
    ),
    Figure(
        "tdi_worker_memory_total_bytes",
        "Memory of the worker's device.",
        lambda stats: stats.memory_total_bytes,
    ),
    Figure("tdi_worker_uptime_seconds", "Time since the worker started.", lambda stats: stats.uptime_seconds),
)
COUNTERS = (
    Figure(
        "tdi_worker_forward_passes_total",
        "Forward passes; one of several requests counts once.",
        lambda stats: stats.forward_passes_total,
    ),
    Figure(
        "tdi_worker_committed_tokens_total",
        "Tokens that forward passes committed, for requests that never finished too.",
        lambda stats: stats.committed_tokens_total,
    ),
)


def worker_families(snapshots: Sequence[WorkerSnapshot]) -> Iterator[Metric]:
    """All families, also those of which no worker tells anything now."""
    answered = [(_labels(one), one.stats) for one in snapshots if one.stats]
    yield from _states(snapshots)
    for figure in GAUGES:
        gauge = GaugeMetricFamily(figure.name, figure.documentation, labels=LABELS)
        for labels, stats in answered:
            gauge.add_metric(labels, figure.value(stats))
        yield gauge
    for figure in COUNTERS:
        counter = CounterMetricFamily(figure.name, figure.documentation, labels=LABELS)
        for labels, stats in answered:
            counter.add_metric(labels, figure.value(stats))
        yield counter
    yield _requests(answered)
    yield _batch_sizes(answered)


def size_bounds(sizes: Sequence[int]) -> Iterator[tuple[int, int]]:
    """The smallest and the largest batch that each of `step_batch_sizes` counts: 1, 2, 3 to 4, 5 to 8, and so on."""
    lowest = 1
    for exponent in range(len(sizes)):
        yield lowest, 1 << exponent
        lowest = (1 << exponent) + 1


def _labels(snapshot: WorkerSnapshot) -> tuple[str, str]:
    return snapshot.model, str(snapshot.number)


def _states(snapshots: Iterable[WorkerSnapshot]) -> Iterator[Metric]:
    up = GaugeMetricFamily(
        "tdi_worker_up", "1 if the worker told its figures when it was asked, else 0.", labels=LABELS
    )
    state = GaugeMetricFamily(
        "tdi_worker_state",
        f"1 for the state that the router sees the worker in, else 0: {', '.join(map(_word, WorkerState))}.",
        labels=(*LABELS, "state"),
    )
    breaker = GaugeMetricFamily(
        "tdi_worker_breaker_open",
        "1 while the worker gets no requests, but for one at a time, because it failed its last ones, else 0.",
        labels=LABELS,
    )
    info = InfoMetricFamily("tdi_worker", "What the worker is, and where the router reaches it.", labels=LABELS)
    for snapshot in snapshots:
        up.add_metric(_labels(snapshot), snapshot.stats is not None)
        for one in WorkerState:
            state.add_metric((*_labels(snapshot), _word(one)), snapshot.state is one)
        breaker.add_metric(_labels(snapshot), snapshot.breaker_open)
        info.add_metric(_labels(snapshot), _facts(snapshot))
    yield from (up, state, breaker, info)


def _word(state: WorkerState) -> str:
    return state.name.lower()


def _facts(snapshot: WorkerSnapshot) -> dict[str, str]:
    info = snapshot.info
    return {
        "address": snapshot.address,
        "device": info.device if info else "",
        "device_name": info.device_name if info else "",
        "dtype": info.dtype if info else "",
        "version": info.version if info else "",
    }


def _requests(answered: Iterable[tuple[Sequence[str], GetStatsResponse]]) -> Metric:
    family = CounterMetricFamily(
        "tdi_worker_requests_total",
        "Requests that the worker is done with, by outcome: finished, cancelled or failed.",
        labels=(*LABELS, "outcome"),
    )
    for labels, stats in answered:
        family.add_metric((*labels, "finished"), stats.finished_requests_total)
        family.add_metric((*labels, "cancelled"), stats.cancelled_requests_total)
        family.add_metric((*labels, "failed"), stats.failed_requests_total)
    return family


def _batch_sizes(answered: Iterable[tuple[Sequence[str], GetStatsResponse]]) -> Metric:
    family = HistogramMetricFamily(
        "tdi_worker_step_batch_size", "Requests that took part in each forward pass.", labels=LABELS
    )
    for labels, stats in answered:
        sizes = stats.step_batch_sizes
        counts = zip(size_bounds(sizes), accumulate(sizes), strict=True)
        buckets = [(str(float(largest)), count) for (_, largest), count in counts]
        family.add_metric(labels, [*buckets, ("+Inf", sum(sizes))], stats.step_batch_size_sum)
    return family
