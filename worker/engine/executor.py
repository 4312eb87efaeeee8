"""Where the plan of a step is executed: on one device, in this process."""

from typing import Protocol

import torch

from worker.device import set_current_device, sum_in_float32
from worker.engine.model_runner import ModelRunner, StepOutput
from worker.engine.request import build_request
from worker.engine.scheduler import Limits
from worker.engine.step_plan import StepPlan
from worker.kvcache.arena import KVCache, Reservation
from worker.models.spec import LoadedModel
from worker.sampling_params import SamplingParams


class Executor(Protocol):
    """Runs plans, one behind the other, all from the thread that called `start`."""

    @property
    def padding_slot(self) -> int:
        """The slot of the KV cache behind those of all sequences."""
        ...

    def start(self) -> None:
        """Allocate the KV cache and warm the device up. Raises what the device raises."""
        ...

    def execute(self, plan: StepPlan) -> StepOutput: ...

    def check_health(self) -> None:
        """Run a pass over a single position that no sequence has. Raises what the device raises."""
        ...


class LocalExecutor:
    """One model on one device."""

    def __init__(
        self, model: LoadedModel, limits: Limits, confidence_dtype: torch.dtype, *, use_graphs: bool = True
    ) -> None:
        self._model = model
        self._limits = limits
        self._confidence_dtype = confidence_dtype
        self._use_graphs = use_graphs
        self.padding_slot = limits.positions

    def start(self) -> None:
        set_current_device(self._model.device)
        sum_in_float32(self._model.device)
        cache = KVCache(self._model.spec.kv, self.padding_slot + 1, self._model.dtype, self._model.device)
        self.runner = ModelRunner(
            self._model,
            cache,
            max_segments=2 * self._limits.max_running,
            confidence_dtype=self._confidence_dtype,
            use_graphs=self._use_graphs,
        )
        self.check_health()

    def execute(self, plan: StepPlan) -> StepOutput:
        return self.runner.execute(plan)

    def check_health(self) -> None:
        params = SamplingParams(gen_length=1, block_length=1, steps=1)
        request = build_request("probe", (), params, mask_token_id=self._model.spec.mask_token_id)
        request.reservation = Reservation(self.padding_slot, 1)
        self.execute(StepPlan.pack([request], padding_slot=self.padding_slot))
