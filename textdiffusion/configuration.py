"""Looks settings up: flag, else environment, else config.toml, else default; every mistake is reported at once.

A root is a `RootSettings` whose fields are sections of `textdiffusion.settings`. Each leaf of each section is a flag of
its own (`router.port` is ``--port``) and an environment variable (``TDI_ROUTER__PORT``).
A secret is no flag, and nothing here ever shows one.
"""

import argparse
import difflib
import json
import os
import sys
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import eq
from pathlib import Path
from typing import Any, Generic, NoReturn, Self, TypeVar, get_origin

from pydantic import BaseModel, SecretStr, ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from textdiffusion.leaves import (
    ENVIRONMENT_PREFIX,
    NESTING,
    flag_leaves,
    has_secret,
    leaves,
    secret_leaves,
    section_in,
)
from textdiffusion.model_names import MissingSettingError
from textdiffusion.option_layers import merged_generation
from textdiffusion.settings import SECTIONS
from textdiffusion.toml import read_toml

Tree = dict[str, Any]
Location = tuple[int | str, ...]
Root = TypeVar("Root", bound="RootSettings")
Arrange = Callable[[Tree, Tree], Tree]

EXIT_BAD_CONFIGURATION = 1
FLAGS = "flags"
GENERATION = "generation"


class ConfigurationError(Exception):
    """The settings cannot be used; `problems` says why, one line each."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = list(problems)


class RootSettings(BaseSettings):
    """What one process is started with; made by `load`, which has merged the sources already."""

    model_config = SettingsConfigDict(
        env_prefix=ENVIRONMENT_PREFIX,
        env_nested_delimiter=NESTING,
        extra="forbid",
        frozen=True,
        hide_input_in_errors=True,
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


@dataclass(frozen=True, slots=True)
class CommandLine(Generic[Root]):
    """What a process was started with; its settings can be looked up again when the file has changed."""

    root: type[Root]
    flags: Tree
    path: Path | None
    arrange: Arrange | None
    log_format: str  # as far as it can be known while nobody has read the file
    print_config: bool
    check: bool

    @classmethod
    def parsed(
        cls, root: type[Root], argv: Sequence[str], *, arrange: Arrange | None = None, default_path: Path | None = None
    ) -> Self:
        """Exits with 1 if there are flags that nobody knows.

        `arrange(flags, lower)` may move flags to where they belong in the tree, given what the lower sources say.
        The file at `default_path` is read if it exists and no other is named.
        """
        known, unknown = _parser(root).parse_known_args(argv)
        arguments = vars(known)
        log_format = arguments.get("logging.log_format") or _log_format()
        if unknown:
            exit_with(list(_no_such_flags(root, unknown)), log_format)
        path, print_config, check = (arguments.pop(name) for name in ("config", "print_config", "check"))
        if path is None and default_path and default_path.exists():
            path = default_path
        return cls(root, _flags(root, arguments), path, arrange, log_format, print_config, check)

    def read(self) -> Root:
        """The settings as they are now. Raises `ConfigurationError`."""
        return load(self.root, self.flags, self.path, arrange=self.arrange)

    def settings(self) -> Root:
        """The settings of a process that starts: exits with 1 if they cannot be used, with 0 if only asked for them."""
        settings = self.usable_settings()
        if self.check:
            raise SystemExit(0)
        return settings

    def usable_settings(self) -> Root:
        """Return the settings, and with `--check` say that they can be used: the process itself may check more.

        Exits with 1 if they cannot be used, and with 0 if only asked to print them.
        """
        try:
            settings = self.read()
        except ConfigurationError as error:
            exit_with(error.problems, self.log_format)
        if self.print_config:
            print(settings.model_dump_json(indent=2))  # noqa: T201 - what was asked for
            raise SystemExit(0)
        if self.check:
            print(f"{self.path or 'the settings'}: can be used", flush=True)  # noqa: T201 - what was asked for
        return settings


def main_settings(root: type[Root], argv: Sequence[str], *, default_path: Path | None = None) -> Root:
    """The settings of a process; prints what is wrong and exits with 1 if they cannot be used."""
    return CommandLine.parsed(root, argv, default_path=default_path).settings()


def load(root: type[Root], flags: Tree, path: Path | None, *, arrange: Arrange | None = None) -> Root:
    """Merges the sources and validates the result. Raises `ConfigurationError`."""
    problems = list(_misnamed_variables())
    try:
        settings = _load(root, flags, path, arrange)
    except ConfigurationError as error:
        raise ConfigurationError([*problems, *error.problems]) from error
    if problems:
        raise ConfigurationError(problems)
    return settings


def merged(lower: Tree, upper: Tree) -> Tree:
    """`lower` with the values of `upper` laid over it, table by table."""
    tree = dict(lower)
    for key, value in upper.items():
        below = tree.get(key)
        if isinstance(below, dict) and isinstance(value, dict):
            tree[key] = merged_generation(below, value) if key == GENERATION else merged(below, value)
        else:
            tree[key] = value
    return tree


def exit_with(problems: Sequence[str], log_format: str) -> NoReturn:
    for problem in problems:
        line = json.dumps({"event": problem, "level": "error"}) if log_format == "json" else f"error: {problem}"
        print(line, file=sys.stderr)  # noqa: T201 - logging is not set up yet
    raise SystemExit(EXIT_BAD_CONFIGURATION)


def _log_format() -> str:
    """As the environment has it, while it is not known whether the settings can be used."""
    return os.environ.get(f"{ENVIRONMENT_PREFIX}LOGGING{NESTING}LOG_FORMAT", "")


def arguments_for(section: BaseModel) -> list[str]:
    """The flags that give another process this section; absent values are left to its defaults."""
    arguments = []
    for leaf in flag_leaves(type(section)):
        value = leaf.value_in(section)
        if value not in (None, {}):
            arguments.append(f"{leaf.flag}={_as_argument(value)}")
    return arguments


def _as_argument(value: Any) -> str:
    if isinstance(value, dict):
        return json.dumps(value, default=str)
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)


def environment_for(name: str, section: BaseModel) -> dict[str, str]:
    """The variables that give another process the secrets of this section, which both call `name`."""
    secrets = {leaf.below(name).variable: leaf.value_in(section) for leaf in secret_leaves(type(section))}
    return {variable: _in_clear(value) for variable, value in secrets.items() if value}


def without_secrets(root: type[RootSettings], environment: Mapping[str, str]) -> dict[str, str]:
    """What a process may inherit that has no business with the secrets of `root`."""
    secrets = [leaf.variable + NESTING for leaf in secret_leaves(root)]

    def gives_one(name: str) -> bool:
        """Whether the variable holds a secret, a part of one or the whole section that one is in."""
        variable = name.upper() + NESTING
        return any(variable.startswith(secret) or secret.startswith(variable) for secret in secrets)

    return {name: value for name, value in environment.items() if not gives_one(name)}


class _EnvironmentSource(EnvSettingsSource):
    def decode_complex_value(self, field_name: str, field: FieldInfo, value: Any) -> Any:
        try:
            return super().decode_complex_value(field_name, field, value)
        except ValueError as error:
            found = "" if has_secret(field.annotation) else f", not {value!r}"
            raise ConfigurationError([f"environment: {field_name}: has to be given as JSON{found}"]) from error


def _load(root: type[Root], flags: Tree, path: Path | None, arrange: Arrange | None) -> Root:
    file = _read_file(path) if path else {}
    variables = _EnvironmentSource(root, env_ignore_empty=True)()
    lower = merged(file, variables)
    tree = merged(lower, arrange(flags, lower) if arrange else flags)
    foreign = set(SECTIONS) - set(root.model_fields)
    try:
        return root(**{key: value for key, value in tree.items() if key not in foreign})
    except ValidationError as error:
        sources = [(FLAGS, flags), ("environment", variables), (path.name if path else "settings", tree)]
        raise ConfigurationError(list(_problems(root, error, sources))) from error


def _read_file(path: Path) -> Tree:
    try:
        return read_toml(path)
    except ValueError as error:
        raise ConfigurationError([str(error)]) from error


def _misnamed_variables() -> Iterator[str]:
    """Variables whose section is none of any process; whoever has the section checks what comes after it."""
    for variable, value in os.environ.items():
        name = variable.upper()
        section, nested, _ = name.removeprefix(ENVIRONMENT_PREFIX).lower().partition(NESTING)
        if value and nested and name.startswith(ENVIRONMENT_PREFIX) and section not in SECTIONS:
            yield f"environment: {variable}: no such setting; {_nearest(section, SECTIONS)}"


def _in_clear(value: Any) -> str:
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    return json.dumps(value, default=SecretStr.get_secret_value)


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        exit_with([message], _log_format())


def _parser(root: type[RootSettings]) -> argparse.ArgumentParser:
    process = root.__module__.split(".")[0]
    parser = _Parser(prog=f"python -m {process}", description=root.__doc__, allow_abbrev=False)
    parser.add_argument("--config", type=Path, metavar="FILE", help="config.toml")
    parser.add_argument("--print-config", action="store_true", help="print the effective settings and exit")
    parser.add_argument("--check", action="store_true", help="say whether the settings can be used and exit")
    for leaf in flag_leaves(root):
        field = leaf.field
        is_switch = field.annotation is bool
        default = "" if field.default in (None, "", (), False) or field.is_required() else f" [{field.default}]"
        parser.add_argument(
            leaf.flag,
            dest=".".join(leaf.path),
            metavar="VALUE",
            help=f"{field.description}{default}".replace("%", "%%"),
            nargs="?" if is_switch else None,
            const="true" if is_switch else None,
        )
    return parser


def _no_such_flags(root: type[RootSettings], arguments: Sequence[str]) -> Iterator[str]:
    for before, argument in zip(("", *arguments), arguments, strict=False):
        flag = argument.partition("=")[0]
        if flag.startswith("-"):
            near = difflib.get_close_matches(flag, [leaf.flag for leaf in flag_leaves(root)], n=1)
            yield f"{flag}: no such flag; " + (f"did you mean {near[0]}?" if near else "--help lists all of them")
        elif not before.startswith("-"):  # else it is the value of a flag, and may be a secret
            yield f"{argument}: only flags are understood; --help lists them"


def _flags(root: type[RootSettings], arguments: Tree) -> Tree:
    tree: Tree = {}
    for leaf in flag_leaves(root):
        value = arguments[".".join(leaf.path)]
        if value is None:
            continue
        node = tree
        for key in leaf.path[:-1]:
            node = node.setdefault(key, {})
        node[leaf.path[-1]] = _items(value) if get_origin(leaf.field.annotation) is tuple else value
    return tree


def _items(text: str) -> list[str]:
    return text.split(",") if text else []


def _problems(root: type[RootSettings], error: ValidationError, sources: list[tuple[str, Tree]]) -> Iterator[str]:
    locations = [item["loc"] for item in error.errors()]
    for item in error.errors():
        location = item["loc"]
        if any(other != location and other[: len(location)] == location for other in locations):
            continue  # a list "is too short" because what is in it is wrong, which is said already
        where = _where(root, location, sources)
        if item["type"] == "extra_forbidden":
            yield f"{where}: no such setting; {_nearest(str(location[-1]), _siblings(root, location))}"
        elif item["type"] == "missing":
            yield f"{where}: is missing"
        elif item["type"] == "value_error":
            yield f"{where}: {item['ctx']['error']}{_remedy(root, location, item['ctx']['error'], sources)}"
        else:
            message = item["msg"][0].lower() + item["msg"][1:]
            yield f"{where}: {message}" + ("" if _is_secret(root, location) else f", not {item['input']!r}")


def _is_secret(root: type[RootSettings], location: Location) -> bool:
    """Whether what is there is a secret, is a part of one or has one in it."""
    keys = [key for key in location if isinstance(key, str)]
    return any(all(map(eq, keys, leaf.path)) for leaf in secret_leaves(root))


def _where(root: type[RootSettings], location: Location, sources: list[tuple[str, Tree]]) -> str:
    source = _source(location, sources)
    name = _name_in(source, root, location)
    return name if source == FLAGS else f"{source}: {name}"


def _remedy(root: type[RootSettings], location: Location, error: object, sources: list[tuple[str, Tree]]) -> str:
    """Return the end of a sentence that names the setting that would help, as the source of the mistake calls it."""
    if not isinstance(error, MissingSettingError):
        return ""
    return f"; give one with {_name_in(_source(location, sources), root, (*location[:-1], error.setting))}"


def _source(location: Location, sources: list[tuple[str, Tree]]) -> str:
    return next((source for source, tree in sources if _gives(tree, location)), sources[-1][0])


def _name_in(source: str, root: type[RootSettings], location: Location) -> str:
    name = ".".join(map(str, location))
    if source != FLAGS:
        return name
    keys = tuple(key for key in location if isinstance(key, str))
    return next((leaf.flag for leaf in leaves(root) if leaf.path == keys), name)


def _gives(tree: Any, location: Location) -> bool:
    """Whether the value at `location` comes from this source; the one model that flags speak of has no index."""
    for key in location:
        if isinstance(tree, list):
            return True
        if isinstance(key, str):
            if not isinstance(tree, dict) or key not in tree:
                return False
            tree = tree[key]
    return True


def _siblings(root: type[BaseModel], location: Location) -> Collection[str]:
    section: type[BaseModel] = root
    for key in location[:-1]:
        if isinstance(key, str):
            section = section_in(section.model_fields[key].annotation) or section
    return section.model_fields


def _nearest(name: str, known: Collection[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    return f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}"
