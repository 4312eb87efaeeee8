"""Every setting of every process, defined once.

A value comes from a flag, else from the environment (``TDI_ROUTER__PORT``), else from config.toml, else from the
default written here. `textdiffusion.configuration` does the looking up; this module only says what there is.
"""

import os
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationInfo,
    field_validator,
    model_validator,
)

from textdiffusion.addresses import is_local, parse_address, parse_host
from textdiffusion.model_names import check_default_id, check_model_id, default_model_id, expanded
from textdiffusion.option_fields import DefaultFields
from textdiffusion.option_layers import contradictions
from textdiffusion.tls import Identity, check_authority, check_identity

ModelId = Annotated[str, AfterValidator(check_model_id)]
Address = Annotated[str, AfterValidator(lambda text: str(parse_address(text)))]
ListenAddress = Annotated[str, AfterValidator(lambda text: str(parse_address(text, lowest_port=0)))]
Host = Annotated[str, AfterValidator(parse_host)]
Url = Annotated[str, StringConstraints(pattern=r"^https?://[^/?#\s]+[^?#\s]*$")]
Device = Annotated[str, StringConstraints(pattern=r"^(auto|cpu|cuda(:\d+)?)$")]
Dtype = Literal["auto", "float32", "bfloat16", "float16"]
LogLevel = Literal["debug", "info", "warning", "error"]
FilePath = Annotated[Path, AfterValidator(lambda path: Path(os.path.expanduser(path)))]  # noqa: PTH111 - never fails

EXPORTER: Final = "opentelemetry.exporter.otlp.proto.http"

# The tables of config.toml. Each process reads some of them; a name that is not among them is a mistake to all.
SECTIONS = ("launcher", "router", "models", "worker", "logging", "tracing")


@dataclass(frozen=True, slots=True)
class Flag:
    """Marks a setting whose flag is not called like the setting itself."""

    name: str


class Section(BaseModel):
    """A table of config.toml; a key that is not defined is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class LoggingSettings(Section):
    log_level: LogLevel = Field("info", description="least severe level to log")
    log_format: Literal["console", "json"] = Field("console", description="lines for people, or JSON for machines")


class TracingSettings(Section):
    otlp_endpoint: Url | None = Field(
        None,
        description="collector that spans of requests are sent to, by OTLP over HTTP: http://localhost:4318; "
        "default: none are recorded",
    )
    sample_ratio: Annotated[float | None, Flag("trace_sample_ratio")] = Field(
        None,
        ge=0,
        le=1,
        description="share of requests to trace, where a client has not decided; default: as OTEL_TRACES_SAMPLER says",
    )

    @field_validator("otlp_endpoint")
    @classmethod
    def _can_be_sent_to(cls, endpoint: str | None) -> str | None:
        if endpoint is not None and not _is_installed(EXPORTER):
            raise ValueError(
                "needs OpenTelemetry, which is not installed; install it with: uv sync --inexact --extra tracing"
            )
        return endpoint


class LauncherSettings(Section):
    grace_seconds: float = Field(30, gt=0, le=3600, description="time that a stopping process gets to finish its work")
    start_timeout_seconds: float = Field(
        600,
        gt=0,
        le=86400,
        description="longest silence of a process that starts; a download that shows progress may last",
    )
    unhealthy_seconds: float = Field(
        10, ge=1, le=86400, description="time after which a process that is not healthy is killed and started again"
    )
    crash_budget: int = Field(
        5, ge=0, description="deaths of one process within crash_window_seconds; after one more it is given up"
    )
    crash_window_seconds: float = Field(300, gt=0, le=86400, description="time in which deaths are counted")
    termination_seconds: float | None = Field(
        None,
        gt=0,
        description="time until whoever stops the launcher kills it (Kubernetes' terminationGracePeriodSeconds); what "
        "stopping may take has to fit into it",
    )
    watch: bool = Field(True, description="apply a changed config.toml or file of keys at once, and not only on SIGHUP")


class GenerationSettings(Section, DefaultFields):
    """What a request that leaves an option out gets; an option left out here too comes from the model's folder."""

    @model_validator(mode="after")
    def _agree(self) -> "GenerationSettings":
        for contradiction in contradictions(self.model_dump(exclude_none=True)):
            raise ValueError(contradiction.in_config)
        return self


class EngineSettings(Section):
    """What decides how a worker runs its model."""

    tokenizer: str | None = Field(
        None, min_length=1, description="a folder or a hub id with the tokenizer; default: the model's own"
    )
    dtype: Dtype = Field("auto", description="auto: bfloat16 where the device is fast at it, else float32")
    max_concurrent_requests: int = Field(16, ge=1, description="requests denoised together in one forward pass")
    max_queued_requests: int = Field(
        256, ge=0, description="requests that may wait inside the worker; more are refused"
    )
    max_step_rows: int = Field(
        2048, ge=1, description="positions that one forward pass may run over, whole canvases taking turns"
    )
    kv_cache_positions: int | None = Field(
        None, ge=1, description="positions whose keys and values are held at once; default: as the memory allows"
    )
    memory_gb: float | None = Field(
        None,
        gt=0,
        description="memory of its device that a worker may take, in units of 10^9 bytes; default: what is left, which "
        "a launcher's workers on one device share",
    )
    trust_remote_code: bool = Field(False, description="accepted and of no effect: no code of a checkpoint is ever run")
    confidence_dtype: Literal["float32", "float64"] = Field(
        "float32", description="precision of the probabilities that decide what is committed"
    )
    cuda_graphs: bool = Field(
        True,
        description="record short passes on a GPU as CUDA graphs, and replay them; where that fails, it is left out",
    )
    stall_seconds: float = Field(
        120,
        gt=0,
        le=86400,
        description="a step that lasts longer makes the worker unhealthy; has to exceed the longest forward pass",
    )
    generation: GenerationSettings = GenerationSettings()


class ModelSettings(EngineSettings):
    """One [[models]] entry: a model and the devices that serve it."""

    id: ModelId | None = Field(None, description='what clients put in "model"; default: the name of the folder')
    path: Annotated[str, Flag("model")] = Field(
        min_length=1, description="a folder in Hugging Face layout, or a hub id"
    )
    chat_template: FilePath | None = Field(
        None, description="file of a chat template in place of the tokenizer's; the router uses it"
    )
    devices: tuple[Device, ...] = Field(("auto",), min_length=1, description="one worker each: auto, cpu, cuda:0, …")


class WorkerSettings(EngineSettings):
    """One worker process."""

    # Before `model`, which asks whether it is there.
    id: ModelId | None = Field(None, description='what clients put in "model"; default: the name of the folder')
    model: str = Field(min_length=1, description="a folder in Hugging Face layout, or a hub id")
    listen: ListenAddress = Field("127.0.0.1:50051", description="unix:PATH or HOST:PORT")
    device: Device = Field("auto", description="auto: the first GPU, else the CPU")
    cpu_threads: int | None = Field(
        None,
        ge=1,
        le=1024,
        description="threads that compute on a CPU, of which workers that share one should not have more than it has "
        "cores; default: OMP_NUM_THREADS, else all cores",
    )
    grace_seconds: float = Field(30, gt=0, le=3600, description="time that running requests get when the worker stops")
    tls_cert_file: FilePath | None = Field(None, description="PEM file of the certificate to show to clients")
    tls_key_file: FilePath | None = Field(None, description="PEM file of its private key")
    tls_client_ca_file: FilePath | None = Field(
        None, description="PEM file of certificates, one of which has to have signed that of each client"
    )
    allow_plaintext: bool = Field(False, description="listen for other machines although there is no certificate")

    @property
    def model_id(self) -> str:
        """What clients put in "model"."""
        return self.id or default_model_id(self.model)

    @field_validator("model")
    @classmethod
    def _can_be_called_as_its_folder(cls, model: str, others: ValidationInfo) -> str:
        if os.path.isdir(expanded(model)):  # noqa: PTH112 - a Path raises for a name that is none
            check_default_id(model, others)
        return model

    @property
    def tls_identity(self) -> Identity | None:
        """What the worker shows to its clients; without it, it listens in plain text."""
        if self.tls_cert_file and self.tls_key_file:
            return Identity(self.tls_cert_file, self.tls_key_file)
        return None

    @model_validator(mode="after")
    def _tls_files_fit(self) -> "WorkerSettings":
        if (self.tls_cert_file is None) != (self.tls_key_file is None):
            raise ValueError("tls_cert_file and tls_key_file go together: set both or neither")
        if self.tls_client_ca_file and not self.tls_identity:
            raise ValueError("tls_client_ca_file needs tls_cert_file and tls_key_file besides")
        if self.tls_identity:
            check_identity(self.tls_identity)
        if self.tls_client_ca_file:
            check_authority(self.tls_client_ca_file)
        return self

    @model_validator(mode="after")
    def _nobody_listens_in(self) -> "WorkerSettings":
        if not (self.tls_identity or self.allow_plaintext or is_local(parse_address(self.listen, lowest_port=0))):
            raise ValueError(
                f"other machines reach {self.listen}, in plain text: set tls_cert_file and tls_key_file, or "
                "allow_plaintext if nobody else is on that network"
            )
        return self


class LiveSettings(Section):
    """What the launcher may change while a worker runs, one JSON object a line; what is left out stays as it is."""

    generation: GenerationSettings | None = None
    log_level: LogLevel | None = None


def _is_installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ImportError:  # nor what it is a part of
        return False
