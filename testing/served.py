"""`python -m testing.served FOLDER MODEL`: a router before a fake worker of a huge model, until stdin ends.

For tests without an event loop of their own. `FOLDER` has the model's tokenizer; the first line printed is the URL.
"""

import asyncio
import sys
from pathlib import Path

from aiohttp import web
from tokenizers import Tokenizer

from router.app import build_app
from router.http.connection import Runner
from router.services import SERVICES
from router.workers.pool import Pool
from testing.waiting import eventually
from testing.worker import FakeWorker, Script, info_for, running
from textdiffusion.logs import configure_logging
from textdiffusion.router_settings import RouterSettings
from textdiffusion.settings import LoggingSettings


async def main(folder: Path, model_id: str) -> None:
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    unbounded = {"max_sequence_length": 2**20, "vocab_size": 2**32 - 1, "family": "illada"}  # which knows all options
    worker = FakeWorker(info_for(folder, tokenizer.token_to_id, model_id=model_id, **unbounded))
    worker.script = Script(tokens=tokenizer.encode("Hello, wörld! 🌍<|eot_id|><|endoftext|>").ids)
    async with running(worker):
        app = build_app(RouterSettings(workers=(worker.address,)), Pool((worker.address,)))
        runner = Runner(app, drain_seconds=1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        await eventually(lambda: app[SERVICES].ready)
        print(f"http://127.0.0.1:{runner.addresses[0][1]}", flush=True)  # noqa: T201
        await asyncio.to_thread(sys.stdin.read)
        await runner.cleanup()


if __name__ == "__main__":
    configure_logging(LoggingSettings(log_level="error"), "router")
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2]))
