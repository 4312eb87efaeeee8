"""What the launcher is started with: all of config.toml, and a flag for each of its settings."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from pydantic import Field

from textdiffusion.configuration import ConfigurationError, RootSettings, Tree, exit_with, main_settings, merged
from textdiffusion.settings import LauncherSettings, LoggingSettings, ModelSettings, RouterSettings

DEFAULT_CONFIG = Path("config.toml")


class LauncherRoot(RootSettings):
    """Starts a router and the workers of every model in config.toml, and stops them again."""

    launcher: LauncherSettings = LauncherSettings()
    router: RouterSettings = RouterSettings()
    models: tuple[ModelSettings, ...] = Field(min_length=1)
    logging: LoggingSettings = LoggingSettings()


def launcher_settings(argv: Sequence[str]) -> LauncherRoot:
    """The settings, or exit code 1 with every mistake on a line of its own."""
    settings = main_settings(LauncherRoot, argv, arrange=arrange, default_path=DEFAULT_CONFIG)
    problems = [*duplicate_ids(settings.models), *missing_folders(settings.models)]
    if settings.router.workers:
        problems.append("router.workers: the launcher fills this in with the workers that it starts")
    if problems:
        exit_with(problems)
    return settings


def arrange(flags: Tree, lower: Tree) -> Tree:
    """Moves the model's flags into the [[models]] entry that they speak of; `--model` makes an entry of its own."""
    own = flags.get("models", {})
    entries = [{}] if "path" in own else lower.get("models", [])
    if not isinstance(entries, list):
        raise ConfigurationError(["models: write a model as a [[models]] entry, in double brackets"])
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


def duplicate_ids(models: Iterable[ModelSettings]) -> Iterator[str]:
    ids = [model.id for model in models]
    for index, id_ in enumerate(ids):
        if id_ in ids[:index]:
            yield f"models.{index}.id: {id_} is the id of models.{ids.index(id_)} already"


def missing_folders(models: Iterable[ModelSettings]) -> Iterator[str]:
    for index, model in enumerate(models):
        if not Path(model.path).is_dir() and not is_hub_id(model.path):
            yield f"models.{index}.path: there is no folder {model.path}"


def is_hub_id(path: str) -> bool:
    """Whether `path` reads as organisation/name, and not as a folder whose parent is here."""
    parts = path.split("/")
    return len(parts) == 2 and all(parts) and parts[0][0] not in ".~" and not Path(parts[0]).exists()  # noqa: PLR2004


def _arranged(entry: Any, own: Tree) -> Any:
    if not isinstance(entry, dict):
        return entry
    model = merged(entry, own)
    path = model.get("path")
    if isinstance(path, str) and model.get("id") is None:
        model["id"] = path if is_hub_id(path) else Path(path).resolve().name
    return model


def _names(flags: Tree) -> Iterator[str]:
    for name, value in flags.items():
        if isinstance(value, dict):
            yield from _names(value)
        else:
            yield "--" + name.replace("_", "-")
