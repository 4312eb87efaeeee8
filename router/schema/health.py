"""What /health and the probes answer."""

from typing import Annotated, Literal

from pydantic import Field
from typing_extensions import TypedDict

from textdiffusion.status import LauncherStatus

WorkerState = Literal["unreachable", "not serving", "serving", "refused"]


class Live(TypedDict):
    """The event loop turns."""

    status: Literal["live"]


class Ready(TypedDict):
    """A request sent now would find a worker."""

    status: Literal["ready"]


class NotReady(TypedDict):
    """A request sent now would find no worker."""

    status: Literal["not ready"]
    reason: Annotated[str, Field(description="why, in words")]


class HealthRequests(TypedDict):
    running: Annotated[int, Field(description="choices that workers have now")]
    waiting: Annotated[int, Field(description="choices that wait for a place at a worker")]


class HealthModel(TypedDict):
    id: Annotated[str, Field(description="what requests call it")]
    ready: Annotated[bool, Field(description="whether any worker serves it now")]
    workers: Annotated[list[str], Field(description="addresses of those that do; none for strangers")]


class HealthWorker(TypedDict):
    address: Annotated[str, Field(description="as the router was given it, or where its name leads")]
    model: Annotated[str | None, Field(description="null until the worker has first said it")]
    device: Annotated[str | None, Field(description="null until the worker has first said it")]
    state: Annotated[WorkerState, Field(description="as the router sees it")]
    reason: Annotated[str | None, Field(description="null where there is nothing to explain")]
    outstanding_positions: Annotated[int, Field(description="canvas positions of the choices that it has now")]


class Health(TypedDict):
    """Who serves what, and what they are doing."""

    status: Annotated[
        Literal["ready", "not ready"], Field(description="whether a request sent now would find a worker")
    ]
    reason: Annotated[str | None, Field(description="why it would not; null if it would")]
    requests: HealthRequests
    models: Annotated[list[HealthModel], Field(description="that workers serve or served, in the order they came")]
    workers: Annotated[
        list[HealthWorker], Field(description="in the order in which the router was given them; none for strangers")
    ]
    launcher: Annotated[
        LauncherStatus | None,
        Field(description="what the launcher says; null if there is none or it does not answer, and for strangers"),
    ]
