"""One denoising step: from the canvases of some requests to what each of them commits."""

from collections.abc import Iterator, Sequence

import numpy as np

from worker.engine.executor import Executor
from worker.engine.model_runner import StepOutput
from worker.engine.request import CommittedToken, Request, TokenLogprob, Update
from worker.engine.step_plan import StepPlan


def run_step(executor: Executor, requests: Sequence[Request]) -> list[Update]:
    """Run one forward pass over the next pass of each request, and write what it commits onto the canvases."""
    output = executor.execute(StepPlan.pack(requests, padding_slot=executor.padding_slot))
    return list(_commit(requests, output))


def _commit(requests: Sequence[Request], output: StepOutput) -> Iterator[Update]:
    first = 0
    for request in requests:
        candidates = request.next_pass.candidates
        rows = first + np.flatnonzero(output.chosen[first : first + len(candidates)])
        yield request.commit([_token(request, int(candidates[row - first]), int(row), output) for row in rows])
        first += len(candidates)


def _token(request: Request, position: int, row: int, output: StepOutput) -> CommittedToken:
    top = output.top.get(row, ())[: request.params.top_logprobs]
    return CommittedToken(
        position=position - request.canvas.start,
        id=int(output.token_ids[row]),
        logprob=float(output.logprobs[row]),
        step=request.forward_passes + 1,
        top=[TokenLogprob(*one) for one in top],
    )
