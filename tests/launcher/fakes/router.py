"""Stands in for `python -m router`; answers readiness and nothing else."""

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


async def ready(_: web.Request) -> web.Response:
    return web.json_response({"workers": option("workers").split(",")})


async def serve() -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    app = web.Application()
    app.router.add_get("/health/ready", ready)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, option("host"), int(option("port"))).start()
    say(f"pid {os.getpid()} listens")
    await stop.wait()
    await runner.cleanup()
    say("drained")


asyncio.run(serve())
