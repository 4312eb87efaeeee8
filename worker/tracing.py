"""What a call leaves in the trace that it is part of."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import grpc

from textdiffusion.spans import Span, Tracing
from textdiffusion.v1.textdiffusion_pb2 import GenerateRequest
from worker.engine.request import Update

FAULTS: Final = (grpc.StatusCode.INTERNAL, grpc.StatusCode.UNAVAILABLE)


@contextmanager
def answering(
    tracing: Tracing, request: GenerateRequest, context: "grpc.aio.ServicerContext[Any, Any]"
) -> Iterator[Span]:
    """The span of a call that is answered; it ends with it, however that ends."""
    with tracing.serving("denoise", context.invocation_metadata() or ()) as span:
        span.set(lambda: {"rpc.system.name": "grpc", "tdi.request.id": request.request_id})
        try:
            yield span
        except grpc.aio.AbortError:
            code = context.code()
            span.fail(code.name, is_fault=code in FAULTS)
            raise


def tell(span: Span, update: Update) -> None:
    """How far the request has come; the end of its first step bounds how long it waited."""
    reason = update.finish_reason
    if update.forward_passes == 1 and not reason:
        span.event("first step done")
    span.set(
        lambda: {"tdi.forward_passes": update.forward_passes, "tdi.finish_reason": reason.value if reason else None}
    )
