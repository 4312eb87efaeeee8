"""Calls to a worker that end when nobody needs them any more.

Leaving an `async for` over a gRPC call does not cancel it: the worker would go on denoising for a client that has left.
So whoever starts a call closes it in a `finally`, which does nothing once the call is over.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

import grpc
import structlog

from router.errors import BadWorkerResponseError, InternalError, from_grpc
from textdiffusion.v1.textdiffusion_pb2 import GenerateRequest, GenerateUpdate

log = structlog.get_logger(__name__)


@contextmanager
def rpc_errors() -> Iterator[None]:
    """Says in the router's words how a call failed; the worker's own stay in the log."""
    try:
        yield
    except grpc.aio.AioRpcError as error:
        told = from_grpc(error)
        level = log.error if isinstance(told, InternalError) else log.warning
        level("worker call failed", code=error.code().name, details=error.details())
        raise told from error


class Updates:
    """What a worker tells of one request while it denoises it."""

    def __init__(self, call: grpc.aio.UnaryStreamCall[GenerateRequest, GenerateUpdate]) -> None:
        self._call = call
        self._reading: asyncio.Task[GenerateUpdate] | None = None

    async def next(self, patience: float | None = None) -> GenerateUpdate | None:
        """The next update; none if the worker is silent for `patience` seconds. Raises a `RouterError`."""
        if self._reading is None:
            self._reading = asyncio.create_task(self._read())
        done, _ = await asyncio.wait({self._reading}, timeout=patience)
        if not done:
            return None
        reading, self._reading = self._reading, None
        return reading.result()

    def close(self) -> None:
        self._call.cancel()
        if self._reading:
            self._reading.cancel()

    async def _read(self) -> GenerateUpdate:
        with rpc_errors():
            update = await self._call.read()
        if not isinstance(update, GenerateUpdate):  # the end of the stream, with nothing finished
            raise BadWorkerResponseError
        return update
