"""The config.toml of a stack that is changed while it runs."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, Self

from benchmarks.folders import DEMO

Value = str | int | float | Sequence[str] | Mapping[str, str]
Section = Mapping[str, Value]

MODEL: Final = "demo"


def served(model: str = MODEL, *, workers: int, **settings: Value) -> Section:
    """The bundled model under a name, on so many workers."""
    return {"id": model, "path": str(DEMO), "devices": ["cpu"] * workers, **settings}


@dataclass(frozen=True, slots=True)
class Configuration:
    """Sections of settings, those of each model one of `models`."""

    models: Sequence[Section]
    router: Section = field(default_factory=lambda: {"port": 0})
    launcher: Section = field(default_factory=dict)

    @property
    def text(self) -> str:
        named = [("[launcher]", self.launcher), ("[router]", self.router)]
        sections = [*named, *(("[[models]]", model) for model in self.models)]
        return "\n".join(line for name, section in sections for line in (name, *_lines(section), ""))

    def with_router(self, **settings: Value) -> Self:
        return replace(self, router={**self.router, **settings})

    def with_models(self, **settings: Value) -> Self:
        """Every model with these settings too."""
        return replace(self, models=[{**model, **settings} for model in self.models])


def _lines(section: Section) -> Iterator[str]:
    return (f"{name} = {_toml(value)}" for name, value in section.items())


def _toml(value: Value) -> str:
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{name} = {_toml(each)}" for name, each in value.items()) + " }"
    return json.dumps(value)
