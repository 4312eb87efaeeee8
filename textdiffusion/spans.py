"""Spans, of which the traces of requests across HTTP and gRPC are made.

Those made here are recorded nowhere and cost next to nothing.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Final

Headers = Iterable[tuple[str, str | bytes]]  # of HTTP, or the metadata of gRPC
Attributes = Mapping[str, str | float | Sequence[str] | None]


class Span:
    """What one process does for a request; it ends with the context that it was made for."""

    @property
    def trace_id(self) -> str:
        """32 hexadecimal digits; empty without a trace."""
        return ""

    @property
    def headers(self) -> Sequence[tuple[str, str]]:
        """What another process goes on from: W3C's traceparent and tracestate."""
        return ()

    def calling(self, name: str) -> "AbstractContextManager[Span]":
        """The span of a call to another process."""
        del name
        return nullcontext(self)

    def rename(self, name: str) -> None:
        """For a name that is not known at the start."""

    def set(self, attributes: Callable[[], Attributes]) -> None:
        """Asks for them only where they are recorded; one that is None stays absent."""

    def event(self, name: str) -> None:
        """Something that happens now."""

    def fail(self, error_type: str, *, is_fault: bool = True) -> None:
        """The first reason is the one that is kept; one that is not this side's fault leaves the status as it is."""


class Tracing:
    """Where the spans of a process begin."""

    def serving(self, name: str, headers: Headers) -> AbstractContextManager[Span]:
        """The span of a request that came with these headers; without valid ones of W3C's it begins a trace.

        An exception that leaves the context fails the span, if nothing has before.
        """
        del name, headers
        return nullcontext(NO_SPAN)

    def close(self) -> None:
        """Sends what has been recorded, unless that takes too long."""


NO_SPAN: Final = Span()
NO_TRACING: Final = Tracing()
