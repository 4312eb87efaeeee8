"""What a run of the load is to be, and in which words a wrong one is refused."""

import argparse
import json
import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from benchmarks.serve.client import PATHS

DEFAULT_REQUESTS = 100
THRESHOLDS = ("ttft", "e2el")
# Fields of a request that have flags of their own.
OWN_FIELDS = {
    "model": "--model",
    "messages": "--input-len",
    "prompt": "--input-len",
    "max_tokens": "--output-len",
    "stream": "--no-stream",
    "stream_options": "--no-stream",
    "ignore_eos": "--ignore-eos",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Lengths are in tokens, `goodput` in milliseconds, `duration` and `timeout` in seconds."""

    url: str
    model: str | None
    endpoint: str
    stream: bool
    request_rate: float
    burstiness: float
    max_concurrency: int | None
    num_prompts: int | None
    duration: float
    input_len: int
    output_len: int
    range_ratio: float
    ignore_eos: bool
    extra_body: Mapping[str, Any]
    goodput: Mapping[str, float]
    timeout: float
    seed: int
    output: Path | None
    plot: Path | None


def plan_of(argv: Sequence[str] | None) -> Plan:
    """Ends the process, with a sentence, if the arguments make no sense."""
    parser = _parser()
    arguments = parser.parse_args(argv)
    if math.isinf(arguments.request_rate) and math.isfinite(arguments.duration) and arguments.num_prompts is None:
        parser.error("--duration alone bounds no load that comes all at once: give --request-rate or --num-prompts")
    if arguments.num_prompts is None and math.isinf(arguments.duration):
        arguments.num_prompts = DEFAULT_REQUESTS
    if "ttft" in arguments.goodput and not arguments.stream:
        parser.error("--goodput ttft needs a stream: whole replies have no first token")
    return Plan(**vars(arguments))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="just bench-serve",
        description="Puts load on a server that speaks OpenAI's API, and measures how it copes. "
        "OPENAI_API_KEY in the environment is the key that it is shown.",
    )
    parser.add_argument("--url", type=_url, default="http://127.0.0.1:3001/v1", help="base URL, /v1 included")
    parser.add_argument("--model", help="what to ask for; default: the first that the server lists")
    parser.add_argument("--endpoint", choices=PATHS, default="chat")
    parser.add_argument("--stream", action=argparse.BooleanOptionalAction, default=True)
    _add_load(parser)
    _add_requests(parser)
    parser.add_argument(
        "--goodput", type=_thresholds, default={}, metavar="ttft:MS,e2el:MS", help="also count replies this fast"
    )
    parser.add_argument(
        "--output", type=_file(".json"), metavar="FILE.json", help="writes all figures, and every request's"
    )
    parser.add_argument(
        "--plot", type=_file(".png"), metavar="FILE.png", help="draws latencies, in order and over time"
    )
    return parser


def _add_load(parser: argparse.ArgumentParser) -> None:
    several, positive = _number(int, least=1), _number(float, above=0)
    rate = _number(float, above=0, infinite=True)
    parser.add_argument("--request-rate", type=rate, default=math.inf, help="arrivals a second; inf: all at once")
    parser.add_argument("--burstiness", type=positive, default=1.0, help="1: Poisson; less: bursts; more: regular")
    parser.add_argument("--max-concurrency", type=several, help="most requests at the server; others wait their turn")
    parser.add_argument("--num-prompts", type=several, help=f"requests; default: {DEFAULT_REQUESTS} or --duration's")
    parser.add_argument("--duration", type=positive, default=math.inf, help="seconds in which requests arrive")
    parser.add_argument("--timeout", type=positive, default=600.0, help="seconds that a request may take")
    parser.add_argument("--seed", type=int, default=0, help="of arrivals, lengths and words")


def _add_requests(parser: argparse.ArgumentParser) -> None:
    several = _number(int, least=1)
    parser.add_argument("--input-len", type=several, default=128, help="tokens of a prompt, more or less")
    parser.add_argument("--output-len", type=several, default=64, help="tokens of a reply, max_tokens")
    parser.add_argument(
        "--range-ratio",
        type=_number(float, least=0, below=1),
        default=0.0,
        help="lengths are drawn from (1 - this) to (1 + this) times those",
    )
    parser.add_argument("--ignore-eos", action="store_true", help="replies go on beyond their end token")
    parser.add_argument(
        "--extra-body", type=_fields, default={}, metavar="JSON", help='more fields: {"threshold": 0.9}'
    )


def _number(
    kind: Callable[[str], float],
    *,
    least: float = -math.inf,
    above: float = -math.inf,
    below: float = math.inf,
    infinite: bool = False,
) -> Callable[[str], float]:
    bounds = [("at least", least), ("more than", above), ("less than", below)]
    told = " and ".join(f"{word} {bound:g}" for word, bound in bounds if math.isfinite(bound))
    name = "a whole number" if kind is int else "a number"

    def parse(text: str) -> float:
        try:
            value = kind(text)
        except ValueError:
            value = math.nan
        in_bounds = (value >= least and value > above and value < below) or (infinite and value == math.inf)
        if not in_bounds:
            raise argparse.ArgumentTypeError(f"must be {name}, {told}{' (or inf)' * infinite}, not {text!r}")
        return value

    return parse


def _url(text: str) -> str:
    try:
        parts = urlsplit(text)
        usable = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:  # of a port that is no number, say
        usable = False
    if not usable:
        raise argparse.ArgumentTypeError(f"must be like http://127.0.0.1:3001/v1, not {text!r}")
    return text


def _file(suffix: str) -> Callable[[str], Path]:
    """A file that can be written once the load is over: it would be too late to find out then."""

    def parse(text: str) -> Path:
        file = Path(text)
        if file.suffix != suffix or file.is_dir():
            raise argparse.ArgumentTypeError(f"must be the name of a {suffix} file, not {text!r}")
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise argparse.ArgumentTypeError(f"cannot be in {file.parent}: {error.strerror}") from error
        if not os.access(file if file.exists() else file.parent, os.W_OK):
            raise argparse.ArgumentTypeError(f"cannot be written: {text}")
        return file

    return parse


def _fields(text: str) -> dict[str, Any]:
    try:
        fields = json.loads(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"is not JSON: {error}") from error
    if not isinstance(fields, dict):
        raise argparse.ArgumentTypeError(f"must be a JSON object, not {text!r}")
    for name in OWN_FIELDS.keys() & fields.keys():
        raise argparse.ArgumentTypeError(f"must not hold {name!r}: that is what {OWN_FIELDS[name]} is for")
    return fields


def _thresholds(text: str) -> dict[str, float]:
    thresholds = {}
    for pair in text.split(","):
        name, _, limit = pair.partition(":")
        if name not in THRESHOLDS:
            raise argparse.ArgumentTypeError(f"must be like ttft:500,e2el:2000; there is no {name!r}")
        thresholds[name] = _number(float, above=0)(limit)
    return thresholds
