"""Looks settings up: flag, else environment, else config.toml, else default; every mistake is reported at once.

A root is a `RootSettings` whose fields are sections of `textdiffusion.settings`. Each leaf of each section is a flag of
its own (`router.port` is ``--port``) and an environment variable (``TDI_ROUTER__PORT``).
"""

import argparse
import difflib
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn, TypeVar, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
)

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

Tree = dict[str, Any]
Root = TypeVar("Root", bound="RootSettings")
Arrange = Callable[[Tree, Tree], Tree]

EXIT_BAD_CONFIGURATION = 1
ENVIRONMENT_PREFIX = "TDI_"
FLAGS = "flags"


class ConfigurationError(Exception):
    """The settings cannot be used; `problems` says why, one line each."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = list(problems)


class RootSettings(BaseSettings):
    """What one process is started with; made by `load`, which has merged the sources already."""

    model_config = SettingsConfigDict(
        env_prefix=ENVIRONMENT_PREFIX, env_nested_delimiter="__", extra="forbid", frozen=True
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        del settings_cls, env_settings, dotenv_settings, file_secret_settings
        return (init_settings,)


def main_settings(
    root: type[Root], argv: Sequence[str], *, arrange: Arrange | None = None, default_path: Path | None = None
) -> Root:
    """The settings of a process; prints what is wrong and exits with 1 if they cannot be used.

    `arrange(flags, lower)` may move flags to where they belong in the tree, given what the lower sources say.
    The file at `default_path` is read if it exists and no other is named.
    """
    parser = _parser(root)
    known, unknown = parser.parse_known_args(argv)
    if unknown:
        exit_with([_no_such_flag(root, argument) for argument in unknown])
    arguments = vars(known)
    path, print_config = arguments.pop("config"), arguments.pop("print_config")
    if path is None and default_path and default_path.exists():
        path = default_path
    try:
        settings = load(root, _flags(root, arguments), path, os.environ, arrange=arrange)
    except ConfigurationError as error:
        exit_with(error.problems)
    if print_config:
        print(settings.model_dump_json(indent=2))  # noqa: T201 - what was asked for
        raise SystemExit(0)
    return settings


def load(
    root: type[Root],
    flags: Tree,
    path: Path | None,
    environment: Mapping[str, str],
    *,
    arrange: Arrange | None = None,
) -> Root:
    """Merges the sources and validates the result. Raises `ConfigurationError`."""
    file = _read_file(path, root) if path else {}
    try:
        variables = EnvSettingsSource(root, env_ignore_empty=True)() if environment else {}
    except SettingsError as error:
        raise ConfigurationError([f"environment: {error}"]) from error
    lower = merged(file, variables)
    tree = merged(lower, arrange(flags, lower) if arrange else flags)
    try:
        return root(**tree)
    except ValidationError as error:
        sources = [(FLAGS, flags), ("environment", variables), (path.name if path else "settings", tree)]
        raise ConfigurationError(list(_problems(root, error, sources))) from error


def merged(lower: Tree, upper: Tree) -> Tree:
    """`lower` with the values of `upper` laid over it, table by table."""
    tree = dict(lower)
    for key, value in upper.items():
        below = tree.get(key)
        tree[key] = merged(below, value) if isinstance(below, dict) and isinstance(value, dict) else value
    return tree


def exit_with(problems: Sequence[str]) -> NoReturn:
    for problem in problems:
        print(f"error: {problem}", file=sys.stderr)  # noqa: T201 - logging is not set up yet
    raise SystemExit(EXIT_BAD_CONFIGURATION)


def arguments_for(section: BaseModel) -> list[str]:
    """The flags that give another process this section; absent values are left to its defaults."""
    arguments = []
    for path, _ in _leaves(type(section)):
        value: Any = section
        for key in path:
            value = getattr(value, key)
        if value is not None:
            text = ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
            arguments.append(f"{_flag_of(path)}={text}")
    return arguments


def _read_file(path: Path, root: type[RootSettings]) -> Tree:
    try:
        tree = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise ConfigurationError([f"{path}: cannot be read: {error.strerror}"]) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError([f"{path}: is not TOML: {error}"]) from error
    foreign = {"launcher", "router", "models", "logging"} - set(root.model_fields)
    return {key: value for key, value in tree.items() if key not in foreign}


def _section(annotation: Any) -> type[BaseModel] | None:
    """The section that a field holds, be it one or a tuple of many."""
    for candidate in (annotation, *(get_args(annotation) if get_origin(annotation) is tuple else ())):
        if isinstance(candidate, type) and issubclass(candidate, BaseModel):
            return candidate
    return None


def _leaves(section: type[BaseModel], path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], FieldInfo]]:
    for name, field in section.model_fields.items():
        inner = _section(field.annotation)
        if inner:
            yield from _leaves(inner, (*path, name))
        else:
            yield (*path, name), field


def _flag_of(path: tuple[str, ...]) -> str:
    # A model's path is what `--model` names, to a worker and to the launcher alike.
    name = "model" if path == ("models", "path") else path[-1]
    return "--" + name.replace("_", "-")


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        exit_with([message])


def _parser(root: type[RootSettings]) -> argparse.ArgumentParser:
    process = root.__module__.split(".")[0]
    parser = _Parser(prog=f"python -m {process}", description=root.__doc__, allow_abbrev=False)
    parser.add_argument("--config", type=Path, metavar="FILE", help="config.toml")
    parser.add_argument("--print-config", action="store_true", help="print the effective settings and exit")
    for path, field in _leaves(root):
        default = "" if field.default in (None, "", ()) or field.is_required() else f" [{field.default}]"
        parser.add_argument(
            _flag_of(path),
            dest=".".join(path),
            metavar="VALUE",
            help=f"{field.description}{default}".replace("%", "%%"),
        )
    return parser


def _no_such_flag(root: type[RootSettings], argument: str) -> str:
    flag = argument.partition("=")[0]
    if not flag.startswith("-"):
        return f"{argument}: only flags are understood; --help lists them"
    near = difflib.get_close_matches(flag, [_flag_of(path) for path, _ in _leaves(root)], n=1)
    return f"{flag}: no such flag; " + (f"did you mean {near[0]}?" if near else "--help lists all of them")


def _flags(root: type[RootSettings], arguments: Tree) -> Tree:
    tree: Tree = {}
    for path, field in _leaves(root):
        value = arguments[".".join(path)]
        if value is None:
            continue
        node = tree
        for key in path[:-1]:
            node = node.setdefault(key, {})
        node[path[-1]] = value.split(",") if get_origin(field.annotation) is tuple else value
    return tree


def _problems(root: type[RootSettings], error: ValidationError, sources: list[tuple[str, Tree]]) -> Iterator[str]:
    locations = [item["loc"] for item in error.errors()]
    for item in error.errors():
        location = item["loc"]
        if any(other != location and other[: len(location)] == location for other in locations):
            continue  # a list "is too short" because what is in it is wrong, which is said already
        where = _where(location, sources)
        if item["type"] == "extra_forbidden":
            yield f"{where}: no such setting{_nearest(root, location)}"
        elif item["type"] == "missing":
            yield f"{where}: is missing"
        else:
            message = item["msg"][0].lower() + item["msg"][1:]
            yield f"{where}: {message}, not {item['input']!r}"


def _where(location: tuple[int | str, ...], sources: list[tuple[str, Tree]]) -> str:
    source = next((name for name, tree in sources if _gives(tree, location)), sources[-1][0])
    if source == FLAGS:
        return _flag_of(tuple(key for key in location if isinstance(key, str)))
    return f"{source}: {'.'.join(map(str, location))}"


def _gives(tree: Any, location: tuple[int | str, ...]) -> bool:
    """Whether the value at `location` comes from this source; the one model that flags speak of has no index."""
    for key in location:
        if isinstance(tree, list):
            return True
        if isinstance(key, str):
            if not isinstance(tree, dict) or key not in tree:
                return False
            tree = tree[key]
    return True


def _nearest(root: type[BaseModel], location: tuple[int | str, ...]) -> str:
    section: type[BaseModel] = root
    for key in location[:-1]:
        if isinstance(key, str):
            section = _section(section.model_fields[key].annotation) or section
    near = difflib.get_close_matches(str(location[-1]), section.model_fields, n=1)
    return f"; did you mean {near[0]}?" if near else f"; there are {', '.join(section.model_fields)}"
