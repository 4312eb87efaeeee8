"""Times the engine alone, without gRPC and HTTP: `just bench`.

Every request fills a canvas to its end, so each of them costs the same; the last column is the throughput over that of
one request at a time, in the same run.
"""

import argparse
import queue
import time
from pathlib import Path

import torch

from worker.engine.engine import Engine
from worker.engine.request import DecodingOptions, Update
from worker.models.checkpoint import Checkpoint
from worker.models.loading import LoadedModel, choose_device, choose_dtype, load_model

DEMO = Path(__file__).parent.parent / "models" / "demo"


def tokens_per_second(model: LoadedModel, options: DecodingOptions, concurrent: int, prompt: int, rounds: int) -> float:
    """Generated tokens a second over `rounds` requests per place, with `concurrent` of them at once."""
    engine = Engine(model, max_running=concurrent, max_waiting=concurrent * rounds)
    engine.start()
    ended: queue.SimpleQueue[float] = queue.SimpleQueue()

    def publish(update: Update) -> None:
        if update.finish_reason:
            ended.put(time.perf_counter())

    began = time.perf_counter()
    for number in range(concurrent * rounds):
        engine.submit(str(number), [number % 64] * prompt, options, publish)
    last = max(ended.get() for _ in range(concurrent * rounds))
    engine.stop()
    return concurrent * rounds * options.gen_length / (last - began)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default=str(DEMO))
    parser.add_argument("--device", default="auto")
    parser.add_argument("--dtype", default="auto")
    parser.add_argument("--prompt", type=int, default=64, help="tokens of each prompt")
    parser.add_argument("--gen-length", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3, help="requests per place")
    arguments = parser.parse_args()

    device = choose_device(arguments.device)
    model = load_model(Checkpoint.find(arguments.model), device, choose_dtype(arguments.dtype, device))
    print(f"{model.parameters:,} parameters, {model.dtype}, {device}, {torch.get_num_threads()} threads")
    print("| steps | concurrent | tokens/s | over one at a time |\n|---|---|---|---|")
    for steps in (arguments.gen_length, arguments.gen_length // 4):
        options = DecodingOptions(gen_length=arguments.gen_length, block_length=32, steps=steps)
        alone = 0.0
        for concurrent in (1, 4, 16):
            rate = tokens_per_second(model, options, concurrent, arguments.prompt, arguments.rounds)
            alone = alone or rate
            print(f"| {steps} | {concurrent} | {rate:.1f} | {rate / alone:.2f} |", flush=True)


if __name__ == "__main__":
    main()
