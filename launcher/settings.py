"""What the launcher is started with: all of config.toml, and a flag for each of its settings."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Final, Self

from pydantic import Field, ValidationError, ValidationInfo, field_validator, model_validator

from textdiffusion.chat_templates import read_chat_template
from textdiffusion.configuration import CommandLine, ConfigurationError, RootSettings, Tree, merged
from textdiffusion.model_names import check_default_id, default_model_id, expanded, is_hub_id, is_model_id
from textdiffusion.router_settings import RouterSettings
from textdiffusion.settings import Address, Flag, LauncherSettings, LoggingSettings, ModelSettings, TracingSettings

DEFAULT_CONFIG = Path("config.toml")
# Waited beyond the time that a child is told to end in, so that one that uses all of it still ends by itself.
KILL_MARGIN_SECONDS: Final = 5.0


class LaunchedRouter(RouterSettings):
    """The router of the stack, which gets its workers from the launcher."""

    @field_validator("workers")
    @classmethod
    def _are_left_out(cls, workers: tuple[str, ...]) -> tuple[str, ...]:
        if workers:
            raise ValueError(
                "the launcher fills this in; name workers that somebody else starts in addresses of [[models]]"
            )
        return workers

    @field_validator("chat_templates")
    @classmethod
    def _come_from_models(cls, templates: dict[str, Path]) -> dict[str, Path]:
        if templates:
            raise ValueError("the launcher fills this in; give each of [[models]] its chat_template")
        return templates


class LaunchedModel(ModelSettings):
    """A model that can be loaded, as far as one can tell before its workers try, or is served elsewhere already."""

    path: Annotated[str | None, Flag("model")] = Field(  # type: ignore[assignment]
        None, min_length=1, description="a folder in Hugging Face layout, or a hub id"
    )
    addresses: Annotated[tuple[Address, ...], Flag("worker-addresses")] = Field(
        (),
        description="HOST:PORT or unix:PATH of workers that somebody else starts; a name may stand for many of them",
    )

    @field_validator("path", "tokenizer")
    @classmethod
    def _can_be_loaded(cls, path: str | None, others: ValidationInfo) -> str | None:
        if path is None:
            return None
        path = expanded(path)
        if not os.path.isdir(path) and not is_hub_id(path):  # noqa: PTH112 - a Path raises for a name that is none
            raise ValueError(f"there is no folder {path}")
        check_default_id(path, others)
        return path

    @field_validator("chat_template")
    @classmethod
    def _can_be_read(cls, path: Path | None) -> Path | None:
        if path is not None:
            read_chat_template(path)
        return path

    @model_validator(mode="after")
    def _is_served(self) -> Self:
        if self.path is None and not self.addresses:
            raise ValueError("needs a path to load it from, or the addresses of workers that serve it")
        if self.id is None:
            raise ValueError("needs an id, for there is no path to take its name from")
        if self.tokenizer and self.path is None:
            raise ValueError("tokenizer is of no use without a path: workers that somebody else starts have their own")
        return self


class LauncherRoot(RootSettings):
    """Starts a router and the workers of every model in config.toml, and stops them again."""

    launcher: LauncherSettings = LauncherSettings()
    router: LaunchedRouter = LaunchedRouter()
    models: tuple[LaunchedModel, ...] = Field(min_length=1)
    logging: LoggingSettings = LoggingSettings()
    tracing: TracingSettings = TracingSettings()

    @property
    def files(self) -> list[Path]:
        """Those that the router reads when it starts."""
        router = self.router
        names = (router.api_keys_file, router.workers_ca_file, router.workers_cert_file, router.workers_key_file)
        return [path for path in (*names, *self.chat_templates.values()) if path]

    @property
    def chat_templates(self) -> dict[str, Path]:
        """The files that the router is given, by the ids of their models."""
        return {str(model.id): model.chat_template for model in self.models if model.chat_template}

    @property
    def drain_seconds(self) -> float:
        """What the router gets to finish its requests in: as much as workers get, if nothing else is said."""
        is_said = "drain_seconds" in self.router.model_fields_set
        return self.router.drain_seconds if is_said else self.launcher.grace_seconds

    @model_validator(mode="after")
    def _budgets_nest(self) -> Self:
        """Whoever waits has to have more time than those who are waited for, or else would cut them off."""
        grace, most = self.launcher.grace_seconds, self.launcher.termination_seconds
        if self.drain_seconds > grace:
            raise ValueError(
                f"router.drain_seconds is {self.drain_seconds:g}, more than the {grace:g} of launcher.grace_seconds"
            )
        needed = self.router.settle_seconds + self.drain_seconds + grace + 2 * KILL_MARGIN_SECONDS
        if most is not None and most <= needed:
            raise ValueError(
                f"launcher.termination_seconds is {most:g}, but stopping may take {needed:g}: router.settle_seconds, "
                f"router.drain_seconds, launcher.grace_seconds, and {KILL_MARGIN_SECONDS:g} twice to kill in"
            )
        return self

    @model_validator(mode="after")
    def _workers_elsewhere_can_be_reached(self) -> Self:
        """As the router will check when it is given them."""
        names = [name for name in RouterSettings.model_fields if name.startswith(("workers_", "allow_plaintext"))]
        elsewhere = tuple(address for model in self.models for address in model.addresses)
        try:
            RouterSettings(workers=elsewhere, **{name: getattr(self.router, name) for name in names})
        except ValidationError as error:
            raise ValueError("; ".join(str(item["ctx"]["error"]) for item in error.errors())) from error
        return self

    @field_validator("models")
    @classmethod
    def _differ_in_id(cls, models: tuple[LaunchedModel, ...]) -> tuple[LaunchedModel, ...]:
        ids = [model.id for model in models]
        for index, id_ in enumerate(ids):
            if id_ in ids[:index]:
                raise ValueError(f"entries {ids.index(id_)} and {index} have the same id, {id_}")
        return models


def command_line(argv: Sequence[str]) -> CommandLine[LauncherRoot]:
    """Exits with 1 if there are flags that nobody knows."""
    return CommandLine.parsed(LauncherRoot, argv, arrange=arrange, default_path=DEFAULT_CONFIG)


def arrange(flags: Tree, lower: Tree) -> Tree:
    """Moves the model's flags into the [[models]] entry that they speak of; `--model` makes an entry of its own."""
    if "worker" in lower:
        raise ConfigurationError(
            ["worker: this is for a worker that is started alone; the launcher's come from [[models]]"]
        )
    own, entries = flags.get("models", {}), lower.get("models", [])
    if not isinstance(entries, list):
        raise ConfigurationError(
            ["models: this is a list: [[models]] entries in the file, or JSON in TDI_MODELS, or one model with --model"]
        )
    if "path" in own or "addresses" in own:
        entries = [{}]
    if not entries:
        raise ConfigurationError(
            ["no model to serve: name one with --model, or a file that has a [[models]] entry with --config"]
        )
    if own and len(entries) > 1:
        raise ConfigurationError(
            [
                f"{flag}: {len(entries)} models are configured; say in the file which one you mean"
                for flag in _names(own)
            ]
        )
    return {**flags, "models": [_arranged(entry, own) for entry in entries]}


def _arranged(entry: Any, own: Tree) -> Any:
    if not isinstance(entry, dict):
        return entry
    model = merged(entry, own)
    path = model.get("path")
    if isinstance(path, str) and model.get("id") is None:
        name = default_model_id(path)
        model["id"] = name if is_model_id(name) else None
    return model


def _names(flags: Tree) -> Iterator[str]:
    for name, value in flags.items():
        if isinstance(value, dict):
            yield from _names(value)
        else:
            yield "--" + name.replace("_", "-")
