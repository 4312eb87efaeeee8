"""`python -m benchmarks.memory`, or `just bench-memory`: a worker's memory over thousands of requests.

A worker of its own serves the demo model to clients that want all kinds of things; a third of them leave midway. Its
resident memory is read from `GetStats` as requests end. A leak of a kilobyte per request would show as ten megabytes.
"""

import argparse
import asyncio
import random
from collections.abc import Sequence
from pathlib import Path
from statistics import median

import grpc

from benchmarks import plots
from testing.folders import DEMO, FIGURES
from testing.report import write_record
from testing.stack import address_of_worker, running_stack
from textdiffusion.rpc import CHANNEL_OPTIONS
from textdiffusion.v1 import textdiffusion_pb2 as pb
from textdiffusion.v1 import textdiffusion_pb2_grpc as rpc

VOCABULARY = 400
REMASKING = sorted({*pb.Remasking.values()} - {pb.REMASKING_UNSPECIFIED, pb.REMASKING_ORIGIN})

Sample = tuple[int, float]  # requests that have ended, and the megabytes that the worker has by then


class Crowd:
    """Clients who ask one after the other, each for something else."""

    def __init__(self, stub: "rpc.TextGenerationServiceAsyncStub", requests: int, every: int, seed: int) -> None:
        self.samples: list[Sample] = []
        self.cancelled = 0
        self._stub = stub
        self._random = random.Random(seed)  # noqa: S311 - a seed has to give the same again
        self._left = requests
        self._every = every
        self._ended = 0

    async def client(self) -> None:
        """Asks until all requests have been made."""
        while self._left > 0:
            self._left -= 1
            await self._ask()
            self._ended += 1
            if self._ended % self._every == 0:
                stats = await self._stub.GetStats(pb.GetStatsRequest())
                self.samples.append((self._ended, round(stats.memory_used_bytes / 1e6, 2)))

    async def _ask(self) -> None:
        leaves_after = self._random.randint(0, 4) if self._random.random() < 1 / 3 else None
        call = self._stub.GenerateStream(self._request())
        if leaves_after is None:
            async for _ in call:
                pass
            return
        for _ in range(leaves_after):
            await call.read()
        call.cancel()
        self.cancelled += 1

    def _request(self) -> pb.GenerateRequest:
        pick = self._random
        gen_length = pick.randint(1, 64)
        options = pb.DiffusionOptions(
            gen_length=gen_length,
            block_length=pick.randint(1, gen_length),
            kv_cache=pick.choice((pb.KV_CACHE_NONE, pb.KV_CACHE_PREFIX, pb.KV_CACHE_DUAL)),
            remasking=pick.choice(REMASKING),
            temperature=pick.choice((0.0, 0.0, 1.0)),
            top_p=pick.choice((1.0, 0.9)),
            cfg_scale=pick.choice((0.0, 0.0, 0.0, 1.0)),
            threshold=pick.uniform(0, 1),
            top_logprobs=pick.choice((0, 0, 3)),
            logit_bias={pick.randrange(VOCABULARY): 1.0} if pick.random() < 1 / 4 else {},
        )
        prompt, suffix = (self._tokens(most) for most in (200, 20))
        return pb.GenerateRequest(prompt=prompt, suffix=suffix, options=options, report_canvas=pick.random() < 1 / 4)

    def _tokens(self, most: int) -> pb.Tokens:
        return pb.Tokens(ids=[self._random.randrange(VOCABULARY) for _ in range(self._random.randint(0, most))])


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="just bench-memory", description=(__doc__ or "").partition(": ")[2])
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--clients", type=int, default=24)
    parser.add_argument("--every", type=int, default=50, help="requests between two samples")
    parser.add_argument("--out", type=Path, default=FIGURES, help="the folder for the JSON file and the plot")
    arguments = parser.parse_args(argv)
    with running_stack(f"--model={DEMO}", "--devices=cpu", "--port=0", "--log-level=warning") as url:
        crowd = asyncio.run(_ask_worker(address_of_worker(url), arguments))
    print(_summed_up(crowd.samples, arguments.requests, crowd.cancelled))
    _plot(arguments.out / "memory.png", crowd.samples)
    write_record(arguments.out / "memory.json", arguments, cancelled=crowd.cancelled, samples=crowd.samples)


async def _ask_worker(address: str, arguments: argparse.Namespace) -> Crowd:
    async with grpc.aio.insecure_channel(address, options=CHANNEL_OPTIONS) as channel:
        stub = rpc.TextGenerationServiceStub(channel)
        crowd = Crowd(stub, arguments.requests, arguments.every, seed=1)
        await asyncio.gather(*(crowd.client() for _ in range(arguments.clients)))
        return crowd


def _summed_up(samples: Sequence[Sample], requests: int, cancelled: int) -> str:
    quarter = max(1, len(samples) // 4)
    parts = samples[quarter : 2 * quarter], samples[-quarter:]
    second, last = (median(megabytes for _, megabytes in part) for part in parts)
    return (
        f"{requests} requests, {cancelled} of them cancelled: {second:.1f} MB in the second quarter, "
        f"{last:.1f} MB in the last, {(last - second) * 1e6 / (requests / 2):+.0f} bytes a request"
    )


def _plot(file: Path, samples: Sequence[Sample]) -> None:
    figure, (panel,) = plots.panels(1, height=3)
    requests, megabytes = zip(*samples, strict=True)
    panel.plot(requests, megabytes, linewidth=1)
    panel.set_ylim(0, 1.2 * max(megabytes))
    panel.set_xlabel("requests, a third of them cancelled")
    panel.set_ylabel("memory of the worker, MB")
    plots.save(figure, file)


if __name__ == "__main__":
    main()
