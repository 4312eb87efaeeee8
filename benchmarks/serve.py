"""`python -m benchmarks.serve`, or `just bench-serve`: an open load on any server that speaks OpenAI's API."""

import argparse
import json
import os
import random
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from itertools import accumulate
from pathlib import Path
from statistics import mean
from typing import Any

import aiohttp
from matplotlib.axes import Axes

from benchmarks import plots
from benchmarks.load import Call, Distribution, Summary, arrivals, run_open_loop, run_precisely
from testing.openai_client import Clock, Reply, ask, connected
from testing.report import Table, number, write_record
from training.words import WORDS

TRIAL_SHARE = 4  # of the words of a prompt: a word may be that many tokens, and a prompt has to fit
LATE_SHARE = 0.05  # of the median latency; who sends later than that is no judge of a server
QUANTILES = ("mean", "median", "p90", "p95", "p99", "max")
COLOURS = {"time to first token": "#e08a1e", "end-to-end latency": "#1f6fb4", "failed": "#c0392b"}

Calls = Sequence[Call]
Figures = Mapping[str, Any]

LATENCIES: Table[tuple[str, Distribution]] = Table(
    {"milliseconds": lambda row: row[0]}
    | {name: lambda row, name=name: number(getattr(row[1], name)) for name in QUANTILES}
)


class Asker:
    """Makes requests of about the lengths that are asked for, by the count of the server's own tokenizer."""

    def __init__(self, session: aiohttp.ClientSession, arguments: argparse.Namespace, model: str) -> None:
        self._session, self._arguments, self._model = session, arguments, model
        self._base, self._per_word = 0.0, 1.0  # tokens around a user's text, and of each of its words

    async def ask(self, body: bytes, clock: Clock, *, stream: bool = True) -> Reply:
        url, seconds = f"{self._arguments.url}/chat/completions", self._arguments.timeout
        return await ask(self._session, url, body, stream=stream, seconds=seconds, clock=clock)

    async def learn_lengths(self) -> None:
        """Asks for two replies, and counts as the server does. Ends the process if it refuses them."""
        few, many = 1, max(2, self._arguments.input_len // TRIAL_SHARE)
        counted: list[int] = []
        for words in (few, many):
            body = self._body(random.Random(words), words, self._arguments.output_len, stream=False)  # noqa: S311
            reply = await self.ask(body, lambda: 0.0, stream=False)
            if reply.failure:
                sys.exit(f"error: a trial request fails: {reply.failure}: {reply.message}")
            if reply.usage.prompt_tokens is None:
                print("The server does not count a prompt's tokens; a word is taken for one.", file=sys.stderr)
                return
            counted.append(reply.usage.prompt_tokens)
        self._per_word = max(counted[1] - counted[0], many - few) / (many - few)
        self._base = counted[0] - few * self._per_word

    def body(self, request: int) -> bytes:
        """That of the request of this number, always the same for the same seed."""
        rng = random.Random(f"{self._arguments.seed} request {request}")  # noqa: S311 - a seed has to give it again
        ratio = self._arguments.range_ratio
        prompt, reply = (
            max(1, round(length * rng.uniform(1 - ratio, 1 + ratio)))
            for length in (self._arguments.input_len, self._arguments.output_len)
        )
        return self._body(rng, max(1, round((prompt - self._base) / self._per_word)), reply, stream=True)

    def _body(self, rng: random.Random, words: int, max_tokens: int, *, stream: bool) -> bytes:
        messages = [{"role": "user", "content": " ".join(rng.choices(WORDS, k=words))}]
        body: dict[str, Any] = {"model": self._model, "messages": messages, "max_tokens": max_tokens}
        if self._arguments.ignore_eos:
            body["ignore_eos"] = True
        if stream:
            body |= {"stream": True, "stream_options": {"include_usage": True}}
        return json.dumps(body).encode()


def main(argv: Sequence[str] | None = None) -> int:
    """Gives the exit status: 1 if no request was completed."""
    arguments = _arguments(argv)
    arguments.model, calls = run_precisely(_measure(arguments))
    figures = figures_of(calls, arguments.duration, arguments.goodput)
    print(text_of(figures))
    if arguments.output:
        rows = [row_of(call) for call in calls]
        write_record(arguments.output, arguments, **figures, rows=rows)
    if arguments.plot:
        _plot(arguments.plot, calls, f"{arguments.model}, {arguments.request_rate:g} requests/s")
    return 0 if figures["load"].completed else 1


async def _measure(arguments: argparse.Namespace) -> tuple[str, Calls]:
    """The model that was asked, and what came of the requests."""
    async with connected(os.environ.get("OPENAI_API_KEY")) as session:
        model = arguments.model or await _first_model(session, arguments.url)
        asker = Asker(session, arguments, model)
        await asker.learn_lengths()
        due = arrivals(arguments.request_rate, arguments.duration, f"{arguments.seed} arrivals")
        bodies = [asker.body(request) for request in range(len(due))]  # beforehand, so that none waits for it
        return model, await run_open_loop(due, lambda request, clock: asker.ask(bodies[request], clock))


async def _first_model(session: aiohttp.ClientSession, url: str) -> str:
    """The first that the server lists. Ends the process if there is none."""
    try:
        async with session.get(f"{url}/models", raise_for_status=True) as response:
            return str((await response.json())["data"][0]["id"])
    except (TimeoutError, aiohttp.ClientError, ValueError, LookupError, TypeError) as error:
        sys.exit(f"error: {url}/models names no model: {error}; --model names one, OPENAI_API_KEY holds a key")


def figures_of(calls: Calls, seconds: float, goodput: Mapping[str, float]) -> dict[str, Any]:
    """Of requests that were due within so many seconds; rates are per second, tokens as the server counts them.

    `goodput` holds the most milliseconds to the first token, `ttft`, and to the last, `e2el`.
    """
    load = Summary.of(calls, seconds)
    completed = [call for call in calls if not call.reply.failure]
    inputs, outputs, passes, committed = (
        [count for call in completed if (count := getattr(call.reply.usage, name)) is not None]
        for name in ("prompt_tokens", "completion_tokens", "forward_passes", "committed_tokens")
    )
    return {
        "load": load,
        "goodput": sum(_is_good(call, goodput) for call in completed) / load.lasted if goodput else None,
        "input_token_rate": sum(inputs) / load.lasted,
        "output_token_rate": sum(outputs) / load.lasted,
        "input_tokens": mean(inputs) if inputs else None,
        "output_tokens": mean(outputs) if outputs else None,
        "forward_passes": mean(passes) if passes else None,
        "tokens_per_forward_pass": sum(committed) / sum(passes) if passes else None,
        "peak_concurrency": _peak_concurrency(calls),
    }


def row_of(call: Call) -> dict[str, Any]:
    """One request, seconds to the microsecond."""
    moments = {name: round(getattr(call, name), 6) for name in ("due", "sent", "ended")}
    texts = [round(moment, 6) for moment in call.reply.texts]
    told = {"status": call.reply.status, "error": call.reply.failure, **asdict(call.reply.usage)}
    return {**moments, **told, "texts": texts}


def text_of(figures: Figures) -> str:
    """Markdown, and readable as it is."""
    load: Summary = figures["load"]
    parts = ["\n".join(f"- {line}" for line in _lines(load, figures))]
    named = [("time to first token", load.first_text), ("end-to-end latency", load.latency)]
    parts.append(LATENCIES.whole([(name, taken) for name, taken in named if taken]))
    late, whole = load.lateness, load.latency
    if late and whole and late.p99 > LATE_SHARE * whole.median:
        told = f"Requests were sent up to {late.max:.1f} ms late, p99 {late.p99:.1f} ms"
        parts.append(f"{told}: this client got too little of the processor. The latencies include it.")
    return "\n\n".join(parts)


def _lines(load: Summary, figures: Figures) -> Iterator[str]:
    failed = load.requests - load.completed
    ended = f"{load.completed} completed, {failed} failed ({failed / max(1, load.requests):.1%})"
    yield f"{load.requests} requests in {load.lasted:.1f} s: {ended}"
    if load.failures:
        yield f"failed: {', '.join(f'{count} with {what}' for what, count in load.failures.items())}"
    goodput = "" if figures["goodput"] is None else f", {figures['goodput']:.2f} requests/s within --goodput"
    tokens = f"{figures['input_token_rate']:.1f} input tokens/s, {figures['output_token_rate']:.1f} output tokens/s"
    rates = f"{load.completed_rate:.2f} requests/s of {load.offered_rate:.2f} offered, {tokens}{goodput}"
    yield f"{rates}; at most {figures['peak_concurrency']} at once"
    if figures["output_tokens"] is not None:
        yield f"{figures['input_tokens']:.1f} tokens a prompt, {figures['output_tokens']:.1f} tokens a reply"
    if figures["forward_passes"] is not None:
        per_pass = figures["tokens_per_forward_pass"]
        yield f"{figures['forward_passes']:.1f} forward passes a reply, {per_pass:.2f} tokens a forward pass"


def _is_good(call: Call, limits: Mapping[str, float]) -> bool:
    taken = {"ttft": call.first_text, "e2el": call.latency}
    return all((seconds := taken[name]) is not None and 1e3 * seconds <= limit for name, limit in limits.items())


def _peak_concurrency(calls: Calls) -> int:
    """The most requests that were at the server at once; one that leaves as another comes was not there with it."""
    steps = sorted([(call.sent, 1) for call in calls] + [(call.ended, -1) for call in calls])
    return max(accumulate(step for _, step in steps), default=0)


def _plot(file: Path, calls: Calls, title: str) -> None:
    """How many requests were how fast, and when the slow ones were."""
    figure, (ordered, over_time) = plots.panels(2)
    completed = [call for call in calls if not call.reply.failure]
    firsts = [(call.due, first) for call in completed if (first := call.first_text) is not None]
    whole = [(call.due, call.latency) for call in completed]
    failed = [(call.due, call.latency) for call in calls if call.reply.failure]
    for name, points in (("time to first token", firsts), ("end-to-end latency", whole)):
        shares = [100 * rank / len(points) for rank in range(1, len(points) + 1)]
        ordered.step(sorted(seconds for _, seconds in points), shares, where="post", color=COLOURS[name])
        _scatter(over_time, name, points, ".")
    if failed:
        _scatter(over_time, "failed", failed, "x")
    ordered.set(xlabel="seconds", ylabel="completed requests, %", ylim=(0, 100))
    over_time.set(xlabel="due, seconds after the beginning", ylabel="seconds")
    over_time.set_ylim(bottom=0)
    named = over_time.get_legend_handles_labels()
    figure.legend(*named, frameon=False, fontsize=8, loc="outside lower center", ncols=3)
    figure.suptitle(title, fontsize=10)
    plots.save(figure, file)


def _scatter(panel: Axes, name: str, points: Sequence[tuple[float, float]], marker: str) -> None:
    dues, seconds = [due for due, _ in points], [taken for _, taken in points]
    panel.scatter(dues, seconds, s=8, marker=marker, linewidths=0.8, color=COLOURS[name], label=name)


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="just bench-serve",
        description="Puts load on a server that speaks OpenAI's API, and measures how it copes. "
        "OPENAI_API_KEY in the environment is the key that it is shown.",
    )
    parser.add_argument("--url", default="http://127.0.0.1:3001/v1", help="base URL, /v1 included")
    parser.add_argument("--model", help="what to ask for; default: the first that the server lists")
    parser.add_argument("--request-rate", type=float, default=8.0, help="arrivals a second")
    parser.add_argument("--duration", type=float, default=30.0, help="seconds in which requests arrive")
    parser.add_argument("--timeout", type=float, default=600.0, help="seconds that a request may take")
    parser.add_argument("--seed", type=int, default=0, help="of arrivals, lengths and words")
    parser.add_argument("--input-len", type=int, default=128, help="tokens of a prompt, more or less")
    parser.add_argument("--output-len", type=int, default=64, help="tokens of a reply, max_tokens")
    parser.add_argument(
        "--range-ratio", type=float, default=0.0, help="lengths are (1 - this) to (1 + this) times those"
    )
    parser.add_argument("--ignore-eos", action="store_true", help="replies go on beyond their end token")
    parser.add_argument(
        "--goodput", type=_limits, default={}, metavar="ttft:MS,e2el:MS", help="count replies this fast"
    )
    parser.add_argument("--output", type=Path, metavar="FILE.json", help="all figures, and every request's")
    parser.add_argument("--plot", type=Path, metavar="FILE.png", help="latencies, in order and over time")
    return parser.parse_args(argv)


def _limits(text: str) -> dict[str, float]:
    limits = {name: float(limit) for name, _, limit in (pair.partition(":") for pair in text.split(","))}
    if not limits.keys() <= {"ttft", "e2el"}:
        raise argparse.ArgumentTypeError(f"must be like ttft:500,e2el:2000, not {text!r}")
    return limits


if __name__ == "__main__":
    sys.exit(main())
