"""The options of a request, each of them a flag; which values are allowed is the server's business."""

import argparse
import math
from collections.abc import Mapping
from typing import Any, Final, get_origin

from textdiffusion.generation_options import OPTIONS as DECLARED
from textdiffusion.generation_options import Option

WITHOUT_FLAG: Final = frozenset({"logit_bias"})  # a number for each of many token ids


def number(text: str) -> float:
    """Finite, as JSON knows no others."""
    value = float(text)
    if not math.isfinite(value):
        raise ValueError
    return value


def _flag(option: Option) -> Mapping[str, Any]:
    """What argparse is to know of it; a name may be one that only a newer server knows."""
    if option.choices:
        *all_but_last, last = option.choices
        meaning = option.meaning.partition(";")[0]
        return {"metavar": "NAME", "help": f"{meaning}: {', '.join(all_but_last)} or {last}"}
    about = {"help": option.meaning.replace("%", "%%")}
    if option.type is bool:
        return {"action": "store_true", "default": None, **about}
    if get_origin(option.type) is list:
        return {"action": "append", "type": int, "metavar": "N", "help": f"{about['help']}; may be repeated"}
    return {"type": int, "metavar": "N", **about} if option.type is int else {"type": number, "metavar": "X", **about}


# By their names in the request: what argparse is to know of them.
OPTIONS: Final[Mapping[str, Mapping[str, Any]]] = {
    **{name: _flag(option) for name, option in DECLARED.items() if name not in WITHOUT_FLAG},
    "stop": {
        "action": "append",
        "metavar": "TEXT",
        "help": "the answer ends before this text; may be repeated",
    },
}


def add_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("options of the request; those that are left out are up to the server")
    for name, option in OPTIONS.items():
        group.add_argument(f"--{name.replace('_', '-')}", **option)


def options_in(namespace: argparse.Namespace) -> dict[str, Any]:
    """Those that were given, as the request says them."""
    return {name: value for name in OPTIONS if (value := getattr(namespace, name)) is not None}
