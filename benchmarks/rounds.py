"""The same requests again and again, to the engine and to the stack in turns."""

import time
from collections.abc import Sequence
from dataclasses import replace

from benchmarks.engine import Reply, run_at_once
from benchmarks.prompts import Prompt
from benchmarks.stack import Client
from worker.engine.engine import Engine
from worker.sampling_params import CacheMode, SamplingParams

# Rounds go on for so long though there are enough; and no longer, if their cache is not the one that is judged.
MIN_SECONDS = 4.0
MAX_SECONDS = 10.0
JUDGED = CacheMode.DUAL


class Rounds:
    """What became of `prompts`, all sent at once: the engine's replies, and tokens a second of each round."""

    def __init__(
        self, engine: Engine, client: Client | None, prompts: Sequence[Prompt], options: SamplingParams
    ) -> None:
        self._engine, self._client = engine, client
        self._prompts, self._options = prompts, options
        self.replies: list[Reply] = []
        self.engine_rates: list[float] = []
        self.http_rates: list[float] = []

    def run(self, rounds: int) -> None:
        """Runs `rounds` of them, more if they are short, fewer if they are long and for comparison only."""
        self._warm_up()
        began = time.perf_counter()
        while self._goes_on(rounds, time.perf_counter() - began):
            replies, seconds = self._ask_engine(self._options)
            self.replies.extend(replies)
            self.engine_rates.append(self._rate(seconds))
            if self._client:
                self.http_rates.append(self._rate(self._client.run_at_once(self._prompts, self._options)))

    def _goes_on(self, rounds: int, spent: float) -> bool:
        done = len(self.engine_rates)
        if done and spent >= MAX_SECONDS and self._options.kv_cache is not JUDGED:
            return False
        return done < rounds or spent < MIN_SECONDS

    def _warm_up(self) -> None:
        """One block, so that whatever is made at the first use of a shape is there."""
        block = replace(self._options, gen_length=self._options.block_length, steps=self._options.block_length)
        self._ask_engine(block)
        if self._client:
            self._client.run_at_once(self._prompts, block)

    def _ask_engine(self, options: SamplingParams) -> tuple[list[Reply], float]:
        return run_at_once(self._engine, [prompt.ids for prompt in self._prompts], options)

    def _rate(self, seconds: float) -> float:
        return len(self._prompts) * self._options.gen_length / seconds
