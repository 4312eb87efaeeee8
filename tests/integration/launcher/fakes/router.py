"""Stands in for `python -m router`; answers health and nothing else.

FAKE_ROUTER is the state of every worker, or `refuses` or `never-serves` for a router that does not get so far.
"""

import asyncio
import os
import signal
import socket
import sys
from pathlib import Path

from aiohttp import web

from textdiffusion.lifeline import follow_parent
from textdiffusion.status import CONTROL, SOCKETS

follow_parent()


def say(text: str) -> None:
    sys.stderr.write(text + "\n")


def option(name: str) -> str:
    return next((argument.split("=", 1)[1] for argument in sys.argv if argument.startswith(f"--{name}=")), "")


async def health(_: web.Request) -> web.Response:
    reason = None if state == "serving" else "its tokenizer is another one"
    addresses = filter(None, option("workers").split(","))
    return web.json_response(
        {
            "status": "ready",
            "requests": {"running": 0, "waiting": 0},
            "workers": [{"address": address, "state": state, "reason": reason} for address in addresses],
            "pid": os.getpid(),
        }
    )


async def serve() -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    app = web.Application()
    app.add_routes([web.get("/health", health), web.get("/health/live", health)])
    runner = web.AppRunner(app)
    await runner.setup()
    for number in os.environ[SOCKETS].split(","):
        await web.SockSite(runner, socket.socket(fileno=int(number))).start()
    await web.UnixSite(runner, os.environ[CONTROL]).start()
    say(f"pid {os.getpid()} listens")
    await stop.wait()
    await runner.cleanup()
    say("drained")


# A file named so, in the folder where the launcher runs, says it from the next start on.
written = Path("FAKE_ROUTER")
state = written.read_text() if written.exists() else os.environ.get("FAKE_ROUTER", "serving")
if state == "refuses":
    sys.exit("error: a certificate cannot be read")
if state == "never-serves":
    say(f"pid {os.getpid()} waits")
    signal.pause()
asyncio.run(serve())
