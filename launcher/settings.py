"""What the launcher is started with: all of config.toml, and a flag for each of its settings."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from pydantic import Field, field_validator

from textdiffusion.configuration import ConfigurationError, RootSettings, Tree, main_settings, merged
from textdiffusion.settings import LauncherSettings, LoggingSettings, ModelSettings, RouterSettings, TracingSettings

DEFAULT_CONFIG = Path("config.toml")


class LaunchedRouter(RouterSettings):
    """The router of the stack, which gets its workers from the launcher."""

    @field_validator("workers")
    @classmethod
    def _are_left_out(cls, workers: tuple[str, ...]) -> tuple[str, ...]:
        if workers:
            raise ValueError("the launcher fills this in with the workers that it starts")
        return workers


class LaunchedModel(ModelSettings):
    """A model that can be loaded, as far as one can tell before its workers try."""

    @field_validator("path")
    @classmethod
    def _is_there(cls, path: str) -> str:
        path = expanded(path)
        if not Path(path).is_dir() and not is_hub_id(path):
            raise ValueError(f"there is no folder {path}")
        return path


class LauncherRoot(RootSettings):
    """Starts a router and the workers of every model in config.toml, and stops them again."""

    launcher: LauncherSettings = LauncherSettings()
    router: LaunchedRouter = LaunchedRouter()
    models: tuple[LaunchedModel, ...] = Field(min_length=1)
    logging: LoggingSettings = LoggingSettings()
    tracing: TracingSettings = TracingSettings()

    @field_validator("models")
    @classmethod
    def _differ_in_id(cls, models: tuple[LaunchedModel, ...]) -> tuple[LaunchedModel, ...]:
        ids = [model.id for model in models]
        for index, id_ in enumerate(ids):
            if id_ in ids[:index]:
                raise ValueError(f"entries {ids.index(id_)} and {index} have the same id, {id_}")
        return models


def launcher_settings(argv: Sequence[str]) -> LauncherRoot:
    """The settings, or exit code 1 with every mistake on a line of its own."""
    return main_settings(LauncherRoot, argv, arrange=arrange, default_path=DEFAULT_CONFIG)


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
    if "path" in own:
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


def is_hub_id(path: str) -> bool:
    """Whether `path` reads as organisation/name, and not as a folder whose parent is here."""
    parts = path.split("/")
    return len(parts) == 2 and all(parts) and parts[0][0] not in ".~" and not Path(parts[0]).exists()  # noqa: PLR2004


def expanded(path: str) -> str:
    """`path` with the home folder in place of its ~, if there is one."""
    return os.path.expanduser(path)  # noqa: PTH111 - a Path would lose the ./ that tells a folder from a hub id


def _arranged(entry: Any, own: Tree) -> Any:
    if not isinstance(entry, dict):
        return entry
    model = merged(entry, own)
    path = model.get("path")
    if isinstance(path, str) and model.get("id") is None:
        model["id"] = path if is_hub_id(path) else Path(expanded(path)).resolve().name
    return model


def _names(flags: Tree) -> Iterator[str]:
    for name, value in flags.items():
        if isinstance(value, dict):
            yield from _names(value)
        else:
            yield "--" + name.replace("_", "-")
