"""`python -m benchmarks.overhead.hello`: an HTTP server that has its reply at hand and looks at nothing.

Asked by the same client, it shows what client, loopback and HTTP take before a router has done anything. It says on
standard output on which port it listens.
"""

import asyncio
import signal

from aiohttp import web

PATH = "/v1/chat/completions"
REPLY = b'{"choices": [{"message": {"role": "assistant", "content": "%s"}}]}' % (b"hello " * 64)


async def _reply(request: web.Request) -> web.Response:
    await request.read()
    return web.Response(body=REPLY, content_type="application/json")


async def serve() -> None:
    """Serves until SIGTERM."""
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    app = web.Application()
    app.add_routes([web.post(PATH, _reply)])
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print(runner.addresses[0][1], flush=True)
    await stop.wait()
    await runner.cleanup()


if __name__ == "__main__":
    try:
        import uvloop  # the router runs on it too
    except ImportError:
        asyncio.run(serve())
    else:
        uvloop.run(serve())
