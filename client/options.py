"""The options of a request, each of them a flag; which values are allowed is the server's business."""

import argparse
import math
from collections.abc import Mapping
from typing import Any, Final


def number(text: str) -> float:
    """Finite, as JSON knows no others."""
    value = float(text)
    if not math.isfinite(value):
        raise ValueError
    return value


def _count(description: str) -> dict[str, Any]:
    return {"type": int, "metavar": "N", "help": description}


def _number(description: str) -> dict[str, Any]:
    return {"type": number, "metavar": "X", "help": description}


def _name(description: str) -> dict[str, Any]:
    return {"metavar": "NAME", "help": description}


# By their names in the request: what argparse is to know of them.
OPTIONS: Final[Mapping[str, Mapping[str, Any]]] = {
    "max_tokens": _count("length of the canvas: the most tokens that the answer may have"),
    "temperature": _number("0 takes the likeliest token at each position"),
    "top_p": _number("sample from the likeliest tokens of this total probability"),
    "top_k": _count("sample from this many tokens; 0: all"),
    "seed": _count("the same seed gives the same answer again"),
    "stop": {
        "action": "append",
        "metavar": "TEXT",
        "help": "the answer ends before this text; may be repeated",
    },
    "steps": _count("a fixed schedule of so many denoising steps, shared out over the blocks"),
    "threshold": _number("instead: a step commits every position at or above this confidence"),
    "factor": _number("instead: as many positions, n, as keep (n + 1)(1 - confidence of the nth) below this"),
    "max_parallel_tokens": _count("the most positions that a step commits"),
    "block_length": _count("positions per block; blocks are filled from left to right"),
    "remasking": _name("which positions a step commits first: low_confidence, random, margin or entropy"),
    "kv_cache": _name("keys and values that the steps of a block reuse: none, prefix or dual"),
    "cfg_scale": _number("classifier-free guidance; 0: off"),
    "ignore_eos": {"action": "store_true", "default": None, "help": "fill the whole canvas"},
}


def add_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("options of the request; those that are left out are up to the server")
    for name, option in OPTIONS.items():
        group.add_argument(f"--{name.replace('_', '-')}", **option)


def options_in(namespace: argparse.Namespace) -> dict[str, Any]:
    """Those that were given, as the request says them."""
    return {name: value for name in OPTIONS if (value := getattr(namespace, name)) is not None}
