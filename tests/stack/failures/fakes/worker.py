"""Stands in for `python -m worker` where the real one would not fail in the way that is wanted.

FAKE_WORKERS says in JSON what each start of each worker does: {"worker-0": ["serves", "exits"]}; the last one repeats.
"""

import asyncio
import json
import os
import signal
import sys
from pathlib import Path

import grpc
from tokenizers import Tokenizer

from testing.folders import DEMO
from testing.worker import FakeWorker, Script, info_for, running
from textdiffusion.lifeline import follow_parent

REPLY = "It serves on."

follow_parent()


def option(name: str) -> str:
    return next(argument.split("=", 1)[1] for argument in sys.argv if argument.startswith(f"--{name}="))


def behaviour(name: str) -> str:
    """Of this start, which is counted in a file."""
    known = json.loads(os.environ["FAKE_WORKERS"])[name]
    counted = Path(os.environ["TMPDIR"]) / f"{name}.starts"
    begun = int(counted.read_text()) if counted.exists() else 0
    counted.write_text(str(begun + 1))
    return str(known[min(begun, len(known) - 1)])


async def serve(does: str) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    tokenizer = Tokenizer.from_file(str(DEMO / "tokenizer.json"))
    worker = FakeWorker(info_for(DEMO, tokenizer.token_to_id, model_id=option("id")))
    worker.script = Script(tokens=tokenizer.encode(f"{REPLY}<|eot_id|>").ids)
    if does == "hangs":
        worker.script.hang_after = 1
    if does == "fails":
        worker.script.reject = grpc.StatusCode.UNAVAILABLE, "the device is gone"
    async with running(worker, option("listen")):
        await stop.wait()


does = behaviour(Path(option("listen")).stem)
if does == "exits":
    sys.exit("error: model.safetensors is truncated")
asyncio.run(serve(does))
