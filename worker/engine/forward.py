"""The network's pass over a batch, in whichever way the device does it best.

On a CPU the network runs as it is written, and attention goes run by run. On a GPU all runs are attended to in one
call, and short passes, which would wait for the host to launch hundreds of small kernels, are recorded once as CUDA
graphs and then replayed: the rows of a step are copied into a graph's own tensors, filled up with rows nobody reads.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import structlog
import torch
from torch import Tensor

from worker.engine.attention import AllAtOnce, Kernel, Ragged, RunByRun, varlen_kernel
from worker.engine.batch import Batch, Run
from worker.engine.kv_cache import KeysAndValues
from worker.models.llada import Llada
from worker.models.loading import LoadedModel

log = structlog.get_logger(__name__)

Forward = Callable[[Batch], Tensor]
Replay = Callable[[], Tensor]
Record = Callable[[Callable[[], Tensor]], Replay]

# Rows of the graphs; a step takes the smallest that it fits into. Above, launching is no longer what takes the time.
GRAPH_ROWS = (32, 64, 96, 128, 192, 256, 384, 512, 768, 1024)
CHECK_TOLERANCE = 2e-2


class EagerForward:
    """Runs the network as it is written."""

    def __init__(self, network: Llada, arena: KeysAndValues, kernel: Kernel | None) -> None:
        self._network = network
        self._arena = arena
        self._kernel = kernel

    def __call__(self, batch: Batch) -> Tensor:
        """Hidden states `[wanted, d_model]`."""
        if self._kernel:
            ragged = Ragged.of(batch.runs, batch.places.device)
            attend: AllAtOnce | RunByRun = AllAtOnce(self._kernel, self._arena, batch.places, ragged)
        else:
            attend = RunByRun(self._arena, batch.places, batch.runs)
        hidden: Tensor = self._network(batch.token_ids, batch.positions, attend, batch.wanted)
        return hidden


@dataclass(frozen=True, slots=True)
class Graph:
    """A recorded pass and the tensors that it reads."""

    token_ids: Tensor
    positions: Tensor
    places: Tensor
    ragged: Ragged
    replay: Replay


class GraphForward:
    """Replays recorded passes for batches of few rows, and leaves all others to `eager`.

    Every graph has room for `max_runs` runs and one more for the rows that fill it up, whose keys go to the position
    behind those of all requests.
    """

    def __init__(
        self, network: Llada, arena: KeysAndValues, kernel: Kernel, eager: Forward, record: Record, *, max_runs: int
    ) -> None:
        self._network = network
        self._arena = arena
        self._kernel = kernel
        self._eager = eager
        self._record = record
        self._max_runs = max_runs
        self._spare = arena.positions - 1
        self._graphs = {rows: self._recorded(rows) for rows in reversed(GRAPH_ROWS)}

    def __call__(self, batch: Batch) -> Tensor:
        """Hidden states `[wanted, d_model]`."""
        rows = len(batch.token_ids)
        runs = [run for run in batch.runs if run.first < self._spare]
        fits = next((size for size in GRAPH_ROWS if rows <= size), None)
        if fits is None or len(runs) > self._max_runs:
            return self._eager(batch)
        graph = self._graphs[fits]
        self._fill(graph, batch, runs)
        return graph.replay()[batch.wanted]

    def _fill(self, graph: Graph, batch: Batch, runs: list[Run]) -> None:
        """Puts a batch into a graph's tensors; what is left of them becomes runs of the spare position."""
        rows, size = len(batch.token_ids), len(graph.token_ids)
        for held, given, spare in (
            (graph.token_ids, batch.token_ids, 0),
            (graph.positions, batch.positions, 0),
            (graph.places, batch.places, self._spare),
        ):
            held[:rows] = given
            held[rows:] = spare
        ragged = self._filled_up(runs, size)
        graph.ragged.rows.copy_(ragged.rows)
        graph.ragged.slots.copy_(ragged.slots)
        graph.ragged.lengths.copy_(ragged.lengths)

    def _filled_up(self, runs: list[Run], size: int) -> Ragged:
        """`runs`, and those of the spare position that bring them to a graph's rows and number of runs."""
        filling = Run(runs[-1].end if runs else 0, size, self._spare, 1)
        empty = [Run(size, size, self._spare + 1, 0)] * (self._max_runs - len(runs))
        return Ragged.of([*runs, filling, *empty], self._arena.keys.device)

    def _recorded(self, rows: int) -> Graph:
        device = self._arena.keys.device
        placed = self._filled_up([], rows)
        # A graph keeps the sizes it was recorded with: a run may be as long as the graph, a slot as the model allows.
        longest = min(self._arena.positions, self._network.config.max_sequence_length)
        ragged = Ragged(placed.rows, placed.slots, placed.lengths, rows, longest)
        token_ids, positions = torch.zeros(2, rows, dtype=torch.int64, device=device)
        places = torch.full((rows,), self._spare, device=device)
        attend = AllAtOnce(self._kernel, self._arena, places, ragged)
        replay = self._record(lambda: self._network(token_ids, positions, attend))
        return Graph(token_ids, positions, places, ragged, replay)


def choose_forward(model: LoadedModel, arena: KeysAndValues, *, max_runs: int) -> Forward:
    """The best that works here; what fails a trial is left out, with a warning."""
    kernel = varlen_kernel(model.device, model.dtype)
    if kernel is None or not agrees(kernel, arena):
        return EagerForward(model.network, arena, None)
    eager = EagerForward(model.network, arena, kernel)
    try:
        record = partial(record_cuda_graph, torch.cuda.graph_pool_handle())
        return GraphForward(model.network, arena, kernel, eager, record, max_runs=max_runs)
    except Exception:
        log.warning("recording CUDA graphs failed; the worker runs without", exc_info=True)
        return eager


@torch.inference_mode()
def agrees(kernel: Kernel, arena: KeysAndValues) -> bool:
    """Whether `kernel` runs here and attends to what it should; overwrites the arena."""
    runs = [Run(0, 1, 0, 2), Run(1, 4, 3, 4)]
    if arena.positions < runs[-1].first + runs[-1].length:
        return False
    device, dtype = arena.keys.device, arena.keys.dtype
    kv_heads, head_dim = arena.keys.shape[1], arena.keys.shape[3]
    random = torch.Generator(device).manual_seed(0)
    for held in (arena.keys, arena.values):
        held[0, :, : runs[-1].first + runs[-1].length].normal_(generator=random)
    shape = (3, runs[-1].end, kv_heads, head_dim)
    queries, keys, values = torch.randn(shape, generator=random, dtype=dtype, device=device)
    places = torch.tensor([0, 4, 5, 6], device=device)
    try:
        tried = AllAtOnce(kernel, arena, places, Ragged.of(runs, device))(0, queries, keys, values)
    except Exception:
        log.warning("variable-length attention failed its trial; the worker attends run by run", exc_info=True)
        return False
    known = RunByRun(arena, places, runs)(0, queries, keys, values)
    same = torch.allclose(tried, known, rtol=0, atol=CHECK_TOLERANCE)
    if not same:
        log.warning("variable-length attention gives other results here; the worker attends run by run")
    return same


def record_cuda_graph(pool: Any, forward: Callable[[], Tensor]) -> Replay:
    """Runs `forward` to warm it up, then records it; graphs of one `pool` share their memory."""
    stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
    stream.wait_stream(torch.cuda.current_stream())
    with torch.inference_mode(), torch.cuda.stream(stream):
        forward()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.inference_mode(), torch.cuda.graph(graph, pool=pool):
        hidden = forward()

    def replay() -> Tensor:
        graph.replay()
        return hidden

    return replay
