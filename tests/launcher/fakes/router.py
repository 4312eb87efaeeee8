"""Stands in for `python -m router`; answers health and nothing else. FAKE_ROUTER is the state of every worker."""

import asyncio
import os
import signal
import sys

from aiohttp import web

from textdiffusion.lifeline import follow_parent

follow_parent()


def say(text: str) -> None:
    sys.stderr.write(text + "\n")


def option(name: str) -> str:
    return next(argument.split("=", 1)[1] for argument in sys.argv if argument.startswith(f"--{name}="))


async def health(_: web.Request) -> web.Response:
    state = os.environ.get("FAKE_ROUTER", "serving")
    reason = None if state == "serving" else "its tokenizer is another one"
    addresses = option("workers").split(",")
    return web.json_response(
        {
            "status": "ready",
            "workers": [{"address": address, "state": state, "reason": reason} for address in addresses],
        }
    )


async def serve() -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    app = web.Application()
    app.router.add_get("/health", health)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, option("host"), int(option("port"))).start()
    say(f"pid {os.getpid()} listens")
    await stop.wait()
    await runner.cleanup()
    say("drained")


asyncio.run(serve())
