"""What the table of routes is made of, and which of its routes a request leads to."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler

from router.errors import RouterError
from router.schema.fields import Strict
from router.schema.responses import Json

Errors = tuple[type[RouterError], ...]

JSON: Final = "application/json"
PATTERN: Final = re.compile(r":[^{}]+(?=})")


@dataclass(frozen=True, slots=True)
class Route:
    """One method of one path, and how its requests are treated."""

    method: Literal["GET", "POST"]
    path: str  # with the patterns that aiohttp matches
    handler: Handler
    access: Literal["open", "key"]  # whether a key is needed, where there are keys
    limited: bool = False  # whether its requests and their tokens count, where there are limits
    operation: str | None = None  # `gen_ai.operation.name` of its spans; without one there are none
    setting: Literal["playground"] | None = None  # the one that turns it off
    quiet: bool = False  # asked for so often that it would bury the rest of the log

    @property
    def template(self) -> str:
        """The path with the names of its parameters alone."""
        return PATTERN.sub("", self.path)


@dataclass(frozen=True, slots=True)
class Answer:
    """A body that an operation sends; `kind` is its TypedDict, none if it is a text or a document of its own."""

    description: str
    kind: type[Any] | None = None
    content_types: tuple[str, ...] = (JSON,)
    example: Json | None = None


@dataclass(frozen=True, slots=True)
class Stream:
    """What it sends instead when a stream is asked for: events that hold `kind`."""

    kind: type[Any]
    example: Json


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """What the OpenAPI document says of a route."""

    id: str
    tag: Literal["Text", "Models", "Tokens", "State", "Documentation", "Playground"]
    summary: str
    description: str = ""
    parameters: Mapping[str, str] = field(default_factory=dict)  # of the path, and what they mean
    request: type[Strict] | None = None
    examples: Mapping[str, Json] = field(default_factory=dict)  # of the request
    answers: Mapping[int, Answer]
    stream: Stream | None = None
    errors: Errors = ()  # beside those that can always happen, and those of keys and limits


class RouteTable:
    """All routes; one without an operation is not in the OpenAPI document."""

    def __init__(self, table: Mapping[Route, Operation | None]) -> None:
        self.routes = tuple(table)
        self.documented = {route: operation for route, operation in table.items() if operation}
        closed_last = sorted(table, key=lambda route: route.access == "key")
        self._answering: dict[tuple[str, str], Route] = {(route.method, route.template): route for route in table}
        self._paths = {route.template: route for route in closed_last}
        self._folders = {folder: route for route in closed_last if (folder := _folder_of(route)) != "/"}

    def of(self, request: web.Request) -> Route | None:
        """Return the route that answers; none if there is nothing at the path, or not by this method."""
        found = request.match_info.route
        method = hdrs.METH_GET if found.method == hdrs.METH_HEAD else found.method
        return self._answering.get((method, found.resource.canonical)) if found.resource else None

    def at(self, request: web.Request) -> Route | None:
        """Return the route that answers or, where none does, one at the path that takes another method."""
        return self.of(request) or self._paths.get(request.path)

    def near(self, request: web.Request) -> Route | None:
        """Return that or, where nothing is at the path, a route of the folder around it; the root is no such folder."""
        if route := self.at(request):
            return route
        around = [folder for folder in self._folders if request.path.startswith(folder)]
        return self._folders[max(around, key=len)] if around else None


ROUTES = web.AppKey("routes", RouteTable)


def _folder_of(route: Route) -> str:
    return route.template[: route.template.rindex("/") + 1]
