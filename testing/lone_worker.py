"""`python -m testing.lone_worker FOLDER ADDRESS UPDATES`: a fake worker in a process of its own, to be killed.

`FOLDER` has the model's tokenizer. Of each request it tells so many updates and then hangs. It prints
its address and then, for each request that it gets, a line.
"""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from testing.worker import FakeWorker, Script, info_for, running
from textdiffusion.v1 import textdiffusion_pb2 as pb

PATIENCE_SECONDS = 60


class LoneWorker(FakeWorker):
    async def _run(self, request: pb.GenerateRequest, context: Any) -> AsyncIterator[pb.GenerateUpdate]:
        print("request", flush=True)  # noqa: T201 - for whoever started it
        async for update in super()._run(request, context):
            yield update


@asynccontextmanager
async def lone_worker(
    folder: Path, address: str = "127.0.0.1:0", *, updates: int = 0
) -> AsyncIterator[tuple[asyncio.subprocess.Process, str]]:
    """The process, and where it listens; it hangs after so many updates of each request."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "testing.lone_worker", str(folder), address, str(updates)),
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        yield process, await said(process)
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.communicate()


async def said(process: asyncio.subprocess.Process) -> str:
    """Its next line."""
    assert process.stdout
    line = await asyncio.wait_for(process.stdout.readline(), PATIENCE_SECONDS)
    assert line, "it ended without a word"
    return line.decode().strip()


async def main(folder: Path, address: str, updates: int) -> None:
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    worker = LoneWorker(info_for(folder, tokenizer.token_to_id))
    worker.script = Script(tokens=tokenizer.encode("Hello, wörld! 🌍<|eot_id|>").ids, hang_after=updates)
    async with running(worker, address):
        print(worker.address, flush=True)  # noqa: T201 - for whoever started it
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])))
