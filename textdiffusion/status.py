"""What the launcher tells of the processes it runs: on its socket, in the router's /health and to `just status`.

Also the names of the environment variables by which it tells a process what it was started with.
"""

from typing import Annotated, Final, Literal

from pydantic import Field
from typing_extensions import TypedDict

SOCKETS: Final = "TDI_SOCKETS"  # numbers of inherited file descriptors that listen already: "7,8"
PROBE_SOCKETS: Final = "TDI_PROBE_SOCKETS"  # the same for the port of probes
CONTROL: Final = "TDI_CONTROL"  # path of the unix socket on which the launcher, and nobody else, asks the router
STATUS: Final = "TDI_STATUS"  # path of the unix socket on which the launcher answers GET /status
STATUS_PATH: Final = "/status"

ProcessState = Literal["starting", "ready", "unresponsive", "waiting", "stopping", "stopped", "failed"]


class ProcessStatus(TypedDict):
    """One process of the stack."""

    name: Annotated[str, Field(description="as in the log")]
    role: Annotated[Literal["router", "worker"], Field(description="what it is for")]
    model: Annotated[str | None, Field(description="what a worker serves")]
    device: Annotated[str | None, Field(description="what a worker runs on, as configured or found")]
    address: Annotated[str, Field(description="where it listens")]
    pid: Annotated[int | None, Field(description="null while there is none")]
    state: Annotated[ProcessState, Field(description="`waiting` for its next start, `failed` and given up")]
    reason: Annotated[str | None, Field(description="how it ended last, in words; null if it never did")]
    restarts: Annotated[int, Field(description="how often it was started again")]
    uptime_seconds: Annotated[float | None, Field(description="since it was last started")]
    memory_bytes: Annotated[int | None, Field(description="resident in the machine's memory")]
    running_requests: Annotated[int | None, Field(description="requests that it has now; null if it does not say")]
    waiting_requests: Annotated[int | None, Field(description="requests that wait in it; null if it does not say")]


class Reload(TypedDict):
    """What became of the last change of the configuration."""

    at: Annotated[str, Field(description="when, in ISO 8601")]
    outcome: Annotated[Literal["applied", "rejected", "failed"], Field(description="what the launcher made of it")]
    problems: Annotated[list[str], Field(description="why it was rejected or failed")]


class LauncherStatus(TypedDict):
    """The launcher and all that it runs."""

    state: Annotated[Literal["starting", "serving", "reloading", "stopping"], Field(description="what it is doing")]
    pid: Annotated[int, Field(description="its own")]
    version: Annotated[str, Field(description="of the server, as `GET /version` tells that of the router")]
    uptime_seconds: Annotated[float, Field(description="since it was started")]
    reload: Annotated[Reload | None, Field(description="the last one; null if there was none")]
    processes: list[ProcessStatus]
