"""The whole stack as a user starts it: launcher, router, worker, and the bundled model."""

import json
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from urllib.request import urlopen

import grpc
import psutil

from testing.folders import ROOT
from textdiffusion.v1 import textdiffusion_pb2 as pb
from textdiffusion.v1.textdiffusion_pb2_grpc import TextGenerationServiceStub

Stats = Callable[[], pb.GetStatsResponse]

MODEL = "tdi-demo"
STOP_SECONDS = 60
ANSWER_SECONDS = 60


def start_stack(*arguments: str) -> tuple["subprocess.Popen[str]", str]:
    """The launcher's process, and the URL that it says to try."""
    process = subprocess.Popen(
        [sys.executable, "-m", "launcher", *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout
    said = []
    for line in process.stdout:
        said.append(line)
        if ready := re.search(r"Ready: (\S+)", line):
            return process, ready[1]
    raise AssertionError("".join(said))


@contextmanager
def running_stack(*arguments: str) -> Iterator[str]:
    """Its URL; in the end all of its processes have to be gone."""
    process, url = start_stack(*arguments)
    assert process.stdout
    reading = threading.Thread(target=process.stdout.read)  # a full pipe would stop the launcher
    reading.start()
    children = psutil.Process(process.pid).children(recursive=True)
    assert len(children) >= 2
    try:
        yield url
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=STOP_SECONDS)
        reading.join()
        process.stdout.close()
    assert process.returncode == 0
    assert not [child for child in children if child.is_running()]


@contextmanager
def stats_of_worker(url: str) -> Iterator[Stats]:
    """What the only worker of the stack at `url` says of itself, whenever it is asked."""
    with grpc.insecure_channel(address_of_worker(url)) as channel:
        stub = TextGenerationServiceStub(channel)
        yield lambda: stub.GetStats(pb.GetStatsRequest(), timeout=ANSWER_SECONDS)


def address_of_worker(url: str) -> str:
    """That of the only worker of the stack at `url`."""
    with urlopen(f"{url.removesuffix('/v1')}/health", timeout=ANSWER_SECONDS) as response:
        (worker,) = json.load(response)["workers"]
    return str(worker["address"])
