"""What a worker tells of one request while it denoises it.

Leaving an `async for` over a gRPC call does not cancel it: the worker would go on denoising for a client that has left.
So whoever starts a call closes it, which does nothing once the call is over.
"""

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

import grpc
import structlog

from router.errors import InternalError, RouterError, from_grpc
from router.workers.line import NEVER_CONNECTED
from textdiffusion.rpc import LOADING, STOPPING
from textdiffusion.v1.textdiffusion_pb2 import GenerateRequest, GenerateResponse, GenerateUpdate

log = structlog.get_logger(__name__)


class Updates:
    """An asynchronous iterator of updates; the one that carries `finished` is the last. Raises a `RouterError`."""

    def __init__(self, call: grpc.aio.RpcContext, read: Callable[[], Awaitable[object]]) -> None:
        self._call = call
        self._read = read

    @classmethod
    def of_stream(cls, call: "grpc.aio.UnaryStreamCall[GenerateRequest, GenerateUpdate]") -> "Updates":
        """Step by step."""
        return cls(call, call.read)

    @classmethod
    def of_whole(cls, call: "grpc.aio.UnaryUnaryCall[GenerateRequest, GenerateResponse]") -> "Updates":
        """One update, with everything."""

        async def read() -> GenerateUpdate:
            return GenerateUpdate(finished=await call)

        return cls(call, read)

    def __aiter__(self) -> "Updates":
        return self

    async def __anext__(self) -> GenerateUpdate:
        with _rpc_errors():
            update = await self._read()
        if not isinstance(update, GenerateUpdate):  # the end of the stream
            raise StopAsyncIteration
        return update

    def close(self) -> None:
        self._call.cancel()


def status_of(error: RouterError) -> grpc.StatusCode | None:
    """The status that the worker's call failed with; none if the error comes from elsewhere."""
    cause = error.__cause__
    return cause.code() if isinstance(cause, grpc.aio.AioRpcError) else None


def was_begun(error: RouterError) -> bool:
    """Whether the worker may have begun with the request; if not, it refused it or was never reached."""
    cause = error.__cause__
    details = (cause.details() or "") if isinstance(cause, grpc.aio.AioRpcError) else ""
    return not details.startswith((STOPPING, LOADING, NEVER_CONNECTED))


@contextmanager
def _rpc_errors() -> Iterator[None]:
    """Says in the router's words how a call failed; the worker's own stay in the log."""
    try:
        yield
    except grpc.aio.AioRpcError as error:
        told = from_grpc(error)
        level = log.error if isinstance(told, InternalError) else log.warning
        level("worker call failed", code=error.code().name, details=error.details())
        raise told from error
