"""Stands in for `python -m router`; answers health and nothing else. FAKE_ROUTER is the state of every worker."""

import asyncio
import os
import signal
import socket
import sys

from aiohttp import web

from textdiffusion.lifeline import follow_parent
from textdiffusion.status import CONTROL, SOCKETS

follow_parent()


def say(text: str) -> None:
    sys.stderr.write(text + "\n")


def option(name: str) -> str:
    return next((argument.split("=", 1)[1] for argument in sys.argv if argument.startswith(f"--{name}=")), "")


async def health(_: web.Request) -> web.Response:
    state = os.environ.get("FAKE_ROUTER", "serving")
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


asyncio.run(serve())
