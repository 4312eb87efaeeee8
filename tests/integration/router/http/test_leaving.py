import asyncio
import json

from aiohttp import web

from router.app import build_app
from router.http.connection import Runner
from router.services import SERVICES
from router.workers.pool import Pool
from testing.waiting import eventually
from testing.worker import FakeWorker
from textdiffusion.router_settings import RouterSettings

ASK = {"model": "fake", "messages": [{"role": "user", "content": "hi"}], "stream": True, "diffusing": True}
HEAD = "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: "
HIGH_WATER = 64 * 1024  # bytes unsent beyond which asyncio has senders wait


async def test_a_reader_who_does_not_read_keeps_no_router_from_going(worker: FakeWorker) -> None:
    app = build_app(RouterSettings(workers=(worker.address,)), Pool((worker.address,)))
    runner = Runner(app, drain_seconds=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    await eventually(lambda: app[SERVICES].ready)
    worker.script.tokens = worker.script.tokens[:1] * 400
    body = json.dumps({**ASK, "n": 8, "max_tokens": 400})  # megabytes are the answer
    _, writer = await asyncio.open_connection(*runner.addresses[0], limit=1)
    writer.write(f"{HEAD}{len(body)}\r\n\r\n{body}".encode())

    def blocked() -> bool:
        connections = runner.server.connections if runner.server else []
        return any(one.transport and one.transport.get_write_buffer_size() > HIGH_WATER for one in connections)

    await eventually(blocked)
    await asyncio.wait_for(runner.cleanup(), 60)
    await eventually(lambda: worker.running == 0)
    writer.transport.abort()
