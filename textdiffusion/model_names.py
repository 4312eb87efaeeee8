"""What a model may be called, and what it is called if nobody gives it an id.

An id travels in JSON, in the path of a URL, in flags, logs and labels of metrics. All of them take any character that
can be seen; hubs and gateways write colons, @ and commas (`llada:8b`, `ft:base:org::id`).
"""

import os
import re
from typing import Final

from pydantic import ValidationInfo

MAX_ID_LENGTH: Final = 128
HUB_ID: Final = re.compile(r"[\w\-][\w.\-]*/[\w\-][\w.\-]*", re.ASCII)


class MissingSettingError(ValueError):
    """A value cannot be used without another setting of its section, whose name is `setting`."""

    def __init__(self, problem: str, setting: str) -> None:
        super().__init__(problem)
        self.setting = setting


def check_model_id(text: str) -> str:
    """Return `text` if a model may be called so. Raises `ValueError` with a sentence that says why not."""
    if problem := _problem(text):
        raise ValueError(f"{text[:MAX_ID_LENGTH]!r} cannot be a model's id: {problem}")
    return text


def is_model_id(text: str) -> bool:
    return _problem(text) is None


def check_default_id(path: str, others: ValidationInfo) -> None:
    """Raise `MissingSettingError` if the model at `path` has to be called as its folder, and cannot be."""
    name = default_model_id(path)
    if "id" in others.data and others.data["id"] is None and not is_model_id(name):
        raise MissingSettingError(f"its folder's name, {name!r}, cannot be the model's id", "id")


def default_model_id(path: str) -> str:
    """Return the hub id that `path` is, or else the name of the folder, which may not do for an id."""
    if is_hub_id(path):
        return path
    return os.path.basename(os.path.abspath(expanded(path)))  # noqa: PTH100, PTH119 - as below


def is_hub_id(path: str) -> bool:
    """Return whether `path` reads as organisation/name, and not as a folder whose parent is here."""
    return bool(HUB_ID.fullmatch(path)) and not os.path.exists(path.partition("/")[0])  # noqa: PTH110 - as below


def expanded(path: str) -> str:
    """Return `path` with the home folder in place of its ~, if there is one."""
    return os.path.expanduser(path)  # noqa: PTH111 - a Path would lose the ./ that tells a folder from a hub id


def _problem(text: str) -> str | None:
    if not text:
        return "it is empty"
    if len(text) > MAX_ID_LENGTH:
        return f"it has more than {MAX_ID_LENGTH} characters"
    if any(map(str.isspace, text)):
        return "it has white space in it"
    if "//" in text or text.startswith("/") or text.endswith("/"):
        return "a slash in it has nothing before or behind it"
    if not text.isprintable():
        return "it has characters in it that cannot be printed"
    return None
