"""What GET /v1/engine/stats answers."""

from typing import Annotated

from pydantic import Field
from typing_extensions import TypedDict

from router.schema.health import WorkerState


class Totals(TypedDict):
    """What has a meaning when it is added up over the workers of a model."""

    running_requests: Annotated[int, Field(description="choices that are being denoised now")]
    queued_requests: Annotated[int, Field(description="choices that wait inside a worker")]
    finished_requests: Annotated[int, Field(description="choices that were denoised to their end")]
    cancelled_requests: Annotated[int, Field(description="choices that nobody waited for any more")]
    failed_requests: Annotated[int, Field(description="choices that failed")]
    forward_passes: Annotated[int, Field(description="forward passes; one of several choices counts once")]
    committed_tokens: Annotated[int, Field(description="tokens that they committed")]
    kv_cache_positions_used: Annotated[int, Field(description="canvas positions whose keys and values are held")]
    kv_cache_positions: Annotated[int, Field(description="canvas positions whose keys and values can be held")]


class Figures(Totals):
    """What one worker says of itself, counted since it started."""

    step_batch_sizes: Annotated[
        dict[str, int], Field(description="forward passes by how many choices took part: `1`, `2`, `3-4`, `5-8`, …")
    ]
    mean_step_batch_size: Annotated[float | None, Field(description="null before the first forward pass")]
    memory_used_bytes: Annotated[int, Field(description="of the device; of the process on a CPU")]
    memory_total_bytes: Annotated[int, Field(description="of the device")]
    uptime_seconds: Annotated[float, Field(description="since it started")]


class ModelStats(TypedDict):
    id: Annotated[str, Field(description="what requests call it")]
    running: Annotated[int, Field(description="choices that are at a worker now, by the router's count")]
    waiting: Annotated[int, Field(description="choices that wait for a place at a worker")]
    workers: Annotated[int, Field(description="how many serve it")]
    totals: Annotated[Totals, Field(description="of those of them that answered")]


class WorkerStats(TypedDict):
    worker: Annotated[int, Field(description="its number, from 0, as in /metrics")]
    address: Annotated[str, Field(description="as the router was given it, or where its name leads")]
    model: Annotated[str | None, Field(description="null until the worker has first said it")]
    device: Annotated[str | None, Field(description="null until the worker has first said it")]
    state: Annotated[WorkerState, Field(description="as the router sees it")]
    figures: Annotated[Figures | None, Field(description="null if it did not tell them within a second")]


class EngineStats(TypedDict):
    """The same figures as /metrics has, of models and workers."""

    models: list[ModelStats]
    workers: Annotated[list[WorkerStats], Field(description="in the order of /health")]
