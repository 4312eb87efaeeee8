"""The settings of a section one by one: what each is called as a flag and in the environment, and which are secret.

One with a `SecretStr` in its type has no flag, for others on the machine can read those.
"""

from collections.abc import Iterator
from functools import reduce
from typing import Any, NamedTuple, cast, get_args, get_origin

from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo

from textdiffusion.settings import Flag

ENVIRONMENT_PREFIX = "TDI_"
NESTING = "__"


class Leaf(NamedTuple):
    """A setting that holds a value and no further settings, and the keys that lead to it."""

    path: tuple[str, ...]
    field: FieldInfo

    @property
    def flag(self) -> str:
        name = next((mark.name for mark in self.field.metadata if isinstance(mark, Flag)), self.path[-1])
        return "--" + name.replace("_", "-")

    @property
    def variable(self) -> str:
        return ENVIRONMENT_PREFIX + NESTING.join(self.path).upper()

    def below(self, section: str) -> "Leaf":
        return Leaf((section, *self.path), self.field)

    def value_in(self, section: BaseModel) -> Any:
        return reduce(getattr, self.path, section)


def secret_leaves(section: type[BaseModel]) -> Iterator[Leaf]:
    return (leaf for leaf in leaves(section) if has_secret(leaf.field.annotation))


def flag_leaves(section: type[BaseModel]) -> Iterator[Leaf]:
    return (leaf for leaf in leaves(section) if not has_secret(leaf.field.annotation))


def leaves(section: type[BaseModel], path: tuple[str, ...] = ()) -> Iterator[Leaf]:
    for name, field in section.model_fields.items():
        inner = section_in(field.annotation)
        if inner:
            yield from leaves(inner, (*path, name))
        else:
            yield Leaf((*path, name), field)


def section_in(annotation: Any) -> type[BaseModel] | None:
    """The section that a field holds, be it one or a tuple of many."""
    for candidate in (annotation, *(get_args(annotation) if get_origin(annotation) is tuple else ())):
        if _is(candidate, BaseModel):
            return cast("type[BaseModel]", candidate)
    return None


def _is(annotation: Any, kind: type) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, kind)


def has_secret(annotation: Any) -> bool:
    """Whether values of this type are secrets, or have some in them."""
    section = section_in(annotation)
    parts = [field.annotation for field in section.model_fields.values()] if section else get_args(annotation)
    return _is(annotation, SecretStr) or any(map(has_secret, parts))
