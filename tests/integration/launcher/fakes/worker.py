"""Stands in for `python -m worker`; what it does besides serving health is said by FAKE_WORKER."""

import asyncio
import ctypes
import json
import os
import signal
import sys
from pathlib import Path

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from textdiffusion.lifeline import follow_parent
from textdiffusion.rpc import SERVICE_NAME


def say(text: str) -> None:
    sys.stderr.write(text + "\n")


def option(name: str) -> str:
    return next(argument.split("=", 1)[1] for argument in sys.argv if argument.startswith(f"--{name}="))


async def serve() -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    servicer = health.aio.HealthServicer()
    await servicer.set(SERVICE_NAME, health_pb2.HealthCheckResponse.NOT_SERVING)
    server = grpc.aio.server()
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    server.add_insecure_port(option("listen"))
    await server.start()
    await servicer.set("", health_pb2.HealthCheckResponse.SERVING)
    say(f"pid {os.getpid()} serves {option('id')} on {option('device')} at {option('listen')}")
    if behaviour != "never-serves":
        await servicer.set(SERVICE_NAME, health_pb2.HealthCheckResponse.SERVING)
    await stop.wait()
    if behaviour == "ignores-sigterm":
        await asyncio.Event().wait()
    await server.stop(0)
    say("drained")


def told(line: str) -> None:
    say(f"told {json.loads(line)}")


# A file named so, in the folder where the launcher runs, says it from its next start on.
written = Path("FAKE_WORKER")
behaviour = written.read_text() if written.exists() else os.environ.get("FAKE_WORKER", "")
if behaviour == "imports":
    say(f"pid {os.getpid()} imports")
    signal.pause()
follow_parent(told)
if behaviour == "is-busy":
    say(f"pid {os.getpid()} is busy in native code")
    ctypes.PyDLL(None).sleep(3600)  # other threads of this process do not run meanwhile
if behaviour == "refuses":
    sys.exit("error: model.safetensors is truncated")
if behaviour == "is-killed":
    os.kill(os.getpid(), signal.SIGKILL)
if "--check" in sys.argv:
    sys.stdout.write(f"the settings: can be used\nfits: {' '.join(sys.argv[1:])}\n")
    sys.exit()
asyncio.run(serve())
