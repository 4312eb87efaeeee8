"""The network's pass over a step's rows, in whichever way the device does it best.

On a CPU the network runs as it is written, and attention goes segment by segment. On a GPU all segments are attended to
in one call, and short passes, which would wait for the host to launch hundreds of small kernels, are recorded once as
CUDA graphs and then replayed: the rows of a step are copied into a graph's own tensors, filled up with rows nobody
reads.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import structlog
import torch
from torch import Tensor

from worker.attention.base import AttentionBackend, PackedSegment
from worker.attention.sdpa import SdpaBackend
from worker.attention.varlen import Kernel, VarlenBackend, VarlenMetadata, passes_trial, varlen_kernel
from worker.decoding.sampling_metadata import to_device
from worker.engine.step_plan import StepPlan
from worker.kvcache.arena import KVCache
from worker.models.spec import DiffusionModel, LoadedModel

log = structlog.get_logger(__name__)

Forward = Callable[[StepPlan], Tensor]
Replay = Callable[[], Tensor]
Record = Callable[[Callable[[], Tensor]], Replay]

# Rows of the graphs; a step takes the smallest that it fits into. Above, launching is no longer what takes the time.
GRAPH_ROWS = (32, 64, 96, 128, 192, 256, 384, 512, 768, 1024)


class EagerForward:
    """Runs the network as it is written."""

    def __init__(self, network: DiffusionModel, cache: KVCache, kernel: Kernel | None) -> None:
        self._network = network
        self._cache = cache
        self._kernel = kernel

    def __call__(self, plan: StepPlan) -> Tensor:
        """Return hidden states `[logits_indices, hidden]`."""
        device = self._cache.keys.device
        token_ids, positions, slot_mapping = _rows_on(device, plan)
        attend: AttentionBackend
        if self._kernel:
            metadata = VarlenMetadata.build(plan.segments, device)
            attend = VarlenBackend(self._kernel, self._cache, slot_mapping, metadata)
        else:
            attend = SdpaBackend(self._cache, slot_mapping, plan.segments)
        hidden: Tensor = self._network(token_ids, positions, attend, to_device(device, plan.logits_indices))
        return hidden


@dataclass(frozen=True, slots=True)
class Graph:
    """A recorded pass and the tensors that it reads."""

    token_ids: Tensor
    positions: Tensor
    slot_mapping: Tensor
    metadata: VarlenMetadata
    replay: Replay


class GraphForward:
    """Replays recorded passes for steps of few rows, and leaves all others to `eager`.

    Every graph has room for `max_segments` segments and one more for the rows that fill it up, whose keys go to the
    slot behind those of all sequences.
    """

    def __init__(
        self,
        network: DiffusionModel,
        cache: KVCache,
        kernel: Kernel,
        eager: Forward,
        record: Record,
        *,
        max_segments: int,
        max_positions: int,
    ) -> None:
        self._network = network
        self._cache = cache
        self._kernel = kernel
        self._eager = eager
        self._record = record
        self._max_segments = max_segments
        # A graph keeps the sizes it was recorded with: a segment as long as the graph, a canvas as long as the model's.
        self._longest = min(cache.positions, max_positions)
        self._padding_slot = cache.positions - 1
        self._graphs = {rows: self._recorded(rows) for rows in reversed(GRAPH_ROWS)}

    def __call__(self, plan: StepPlan) -> Tensor:
        """Return hidden states `[logits_indices, hidden]`."""
        rows = len(plan.token_ids)
        segments = [segment for segment in plan.segments if segment.kv_start < self._padding_slot]
        fits = next((size for size in GRAPH_ROWS if rows <= size), None)
        if fits is None or len(segments) > self._max_segments:
            return self._eager(plan)
        graph = self._graphs[fits]
        self._fill(graph, plan, segments)
        return graph.replay()[to_device(self._cache.keys.device, plan.logits_indices)]

    def _fill(self, graph: Graph, plan: StepPlan, segments: list[PackedSegment]) -> None:
        """Put a step into a graph's tensors; what is left of them becomes segments of the padding slot."""
        rows, size = len(plan.token_ids), len(graph.token_ids)
        token_ids, positions, slot_mapping = _rows_on(self._cache.keys.device, plan)
        for held, given, padding in (
            (graph.token_ids, token_ids, 0),
            (graph.positions, positions, 0),
            (graph.slot_mapping, slot_mapping, self._padding_slot),
        ):
            held[:rows] = given
            held[rows:] = padding
        metadata = self._filled_up(segments, size)
        graph.metadata.cu_seq_q.copy_(metadata.cu_seq_q)
        graph.metadata.cu_seq_k.copy_(metadata.cu_seq_k)
        graph.metadata.seqused_k.copy_(metadata.seqused_k)

    def _filled_up(self, segments: list[PackedSegment], size: int) -> VarlenMetadata:
        """Describe `segments`, and those of the padding slot that bring them to a graph's rows and number."""
        filling = PackedSegment(segments[-1].end if segments else 0, size, self._padding_slot, 1)
        empty = [PackedSegment(size, size, self._padding_slot + 1, 0)] * (self._max_segments - len(segments))
        return VarlenMetadata.build([*segments, filling, *empty], self._cache.keys.device)

    def _recorded(self, rows: int) -> Graph:
        device = self._cache.keys.device
        placed = self._filled_up([], rows)
        metadata = VarlenMetadata(placed.cu_seq_q, placed.cu_seq_k, placed.seqused_k, rows, self._longest)
        token_ids, positions = torch.zeros(2, rows, dtype=torch.int64, device=device)
        slot_mapping = torch.full((rows,), self._padding_slot, device=device)
        attend = VarlenBackend(self._kernel, self._cache, slot_mapping, metadata)
        replay = self._record(lambda: self._network(token_ids, positions, attend))
        return Graph(token_ids, positions, slot_mapping, metadata, replay)


class GraphCaptureError(Exception):
    """Recording a CUDA graph failed, and left torch's allocator in a state that this process should not go on in."""


def choose_forward(model: LoadedModel, cache: KVCache, *, max_segments: int, use_graphs: bool = True) -> Forward:
    """Return the best that works here; a kernel that fails its trial is left out, with a warning.

    Raises `GraphCaptureError` if graphs are wanted and cannot be recorded.
    To be called on the thread that will run the steps: a recorded graph keeps the workspaces of the thread that
    recorded it.
    """
    kernel = varlen_kernel(model.device, model.dtype)
    if kernel is None or not passes_trial(kernel, cache, heads=model.spec.num_heads):
        return EagerForward(model.network, cache, None)
    eager = EagerForward(model.network, cache, kernel)
    if not use_graphs:
        return eager
    try:
        record = CudaGraphRecorder()
        return GraphForward(
            model.network,
            cache,
            kernel,
            eager,
            record,
            max_segments=max_segments,
            max_positions=model.spec.max_positions,
        )
    except Exception as error:
        raise GraphCaptureError(str(error).partition("\n")[0]) from error


class CudaGraphRecorder:
    """Records passes that share one pool of memory and one stream, and so one workspace of the products.

    Graphs of one recorder live and die together: each uses the workspace that the first one allocated.
    """

    def __init__(self) -> None:
        self._pool: Any = torch.cuda.graph_pool_handle()
        self._stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]

    def __call__(self, forward: Callable[[], Tensor]) -> Replay:
        """Run `forward` to warm it up, then record it."""
        self._stream.wait_stream(torch.cuda.current_stream())
        with torch.inference_mode(), torch.cuda.stream(self._stream):
            forward()
        torch.cuda.current_stream().wait_stream(self._stream)
        graph = torch.cuda.CUDAGraph()
        with torch.inference_mode(), torch.cuda.graph(graph, pool=self._pool, stream=self._stream):
            hidden = forward()

        def replay() -> Tensor:
            graph.replay()
            return hidden

        return replay


def _rows_on(device: torch.device, plan: StepPlan) -> Tensor:
    """Return token ids, positions and slots of a step on the device, int64 `[3, rows]`, in one copy."""
    return to_device(device, np.stack([plan.token_ids, plan.positions, plan.slot_mapping]))
