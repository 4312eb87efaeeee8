"""Requests that are all sent at once: to the engine alone, without gRPC or HTTP, and to the whole stack over HTTP."""

import asyncio
import json
import queue
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path

import aiohttp

from benchmarks.prompts import Prompt
from testing.openai_client import ask, connected
from testing.stack import running_stack
from worker.device import keep_freed_memory
from worker.engine.engine import Engine
from worker.engine.request import CommittedToken, FinishReason, Update
from worker.engine.scheduler import Limits
from worker.models.spec import LoadedModel
from worker.sampling_params import SamplingParams

MODEL = "benchmark"
REPLY_SECONDS = 3600.0


Trace = list[CommittedToken]  # of one request


@contextmanager
def running_engine(model: LoadedModel, limits: Limits) -> Iterator[Engine]:
    keep_freed_memory()
    engine = Engine(model, limits)
    engine.start()
    try:
        yield engine
    finally:
        engine.stop()


def run_at_once(engine: Engine, prompts: Sequence[Sequence[int]], options: SamplingParams) -> tuple[list[Trace], float]:
    """What was committed for each of these prompts, and the seconds until the last one is there."""
    published: queue.SimpleQueue[tuple[int, Update, float]] = queue.SimpleQueue()

    def publish(number: int, update: Update) -> None:
        published.put((number, update, time.perf_counter()))

    began = time.perf_counter()
    for number, prompt in enumerate(prompts):
        engine.submit(str(number), prompt, options, partial(publish, number))
    traces: list[Trace] = [[] for _ in prompts]
    running, moment = len(prompts), began
    while running:
        number, update, moment = published.get()
        traces[number].extend(update.committed)
        if update.finish_reason in (FinishReason.FAILED, FinishReason.CANCELLED):
            raise RuntimeError(f"the engine gave up a request: {update.failure or update.finish_reason.value}")
        running -= update.finish_reason is not None
    return traces, moment - began


class HttpClient:
    """Clients of the stack at `url`, in one event loop that lives from round to round, as do their connections."""

    def __init__(self, url: str) -> None:
        self._url = f"{url}/chat/completions"
        self._loop = asyncio.new_event_loop()
        self._session = self._loop.run_until_complete(_connected())

    def run_at_once(self, prompts: Sequence[Prompt], options: SamplingParams) -> float:
        """Seconds from the first request until the last reply is there.

        Raises `RuntimeError` if a reply is refused or does not fill its canvas.
        """
        return self._loop.run_until_complete(self._run_at_once(prompts, options))

    def close(self) -> None:
        self._loop.run_until_complete(self._session.close())
        self._loop.close()

    async def _run_at_once(self, prompts: Sequence[Prompt], options: SamplingParams) -> float:
        bodies = [json.dumps(_body(prompt, options)).encode() for prompt in prompts]
        began = time.perf_counter()
        asking = [ask(self._session, self._url, body, stream=False, seconds=REPLY_SECONDS) for body in bodies]
        replies = await asyncio.gather(*asking)
        seconds = time.perf_counter() - began
        for prompt, reply in zip(prompts, replies, strict=True):
            counted = reply.usage.prompt_tokens, reply.usage.completion_tokens
            if counted != (len(prompt.ids), options.gen_length):
                raise RuntimeError(f"the stack does not fill a canvas: {reply}")
        return seconds


@contextmanager
def serving(folder: Path, *, dtype: str, device: str, concurrent: int) -> Iterator[HttpClient]:
    """Clients of a stack of their own, with the model in `folder`."""
    settings = {"model": folder, "id": MODEL, "dtype": dtype, "devices": device, "port": 0}
    places = dict.fromkeys(("max-concurrent-requests", "max-running-requests"), concurrent)
    flags = [f"--{name}={value}" for name, value in (settings | places).items()]
    with running_stack(*flags) as url, closing(HttpClient(url)) as client:
        yield client


def _body(prompt: Prompt, options: SamplingParams) -> dict[str, object]:
    rules = {"threshold": options.threshold, "factor": options.factor}
    return {
        "model": MODEL,
        "messages": [{"role": "user", "content": prompt.text}],
        "max_tokens": options.gen_length,
        "block_length": options.block_length,
        "kv_cache": options.kv_cache.value,
        "temperature": options.temperature,
        "ignore_eos": True,
        **({name: value for name, value in rules.items() if value is not None} or {"steps": options.steps}),
    }


async def _connected() -> aiohttp.ClientSession:
    return connected()  # inside the loop, as aiohttp wants it
