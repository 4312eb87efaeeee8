"""A client of any server that speaks OpenAI's API."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import MappingProxyType
from typing import Final

import aiohttp

from benchmarks.load.open_loop import Clock
from benchmarks.serve.reply import HTTP_OK, Reply, StreamedReply, whole_reply
from testing.events import EventParser

MODELS_SECONDS = 30.0
PATHS: Final = MappingProxyType({"chat": "chat/completions", "completions": "completions"})
JSON = {"Content-Type": "application/json"}


class UnusableServerError(Exception):
    """There is nothing to measure; says why in a sentence."""


class Client:
    """Asks the server at `url`, its base with the version, with as many connections as there are requests."""

    def __init__(self, session: aiohttp.ClientSession, url: str, endpoint: str) -> None:
        self._session = session
        self._base = url.rstrip("/")
        self._url = f"{self._base}/{PATHS[endpoint]}"

    async def ask(self, body: bytes, clock: Clock, *, stream: bool) -> Reply:
        """What came of a request; whatever goes wrong with it is part of that."""
        try:
            async with self._session.post(self._url, data=body, headers=JSON) as response:
                if not stream or response.status != HTTP_OK:
                    return whole_reply(response.status, await response.read())
                return await _read_stream(response, clock)
        except asyncio.TimeoutError:
            return Reply(status=None, error="timeout", message="no reply within the time that a request may take")
        except aiohttp.ClientConnectorError as error:
            return Reply(status=None, error="cannot_connect", message=str(error))
        except (aiohttp.ClientError, OSError) as error:
            return Reply(status=None, error="disconnected", message=str(error))

    async def first_model(self) -> str:
        """The first that the server lists. Raises `UnusableServerError`."""
        url = f"{self._base}/models"
        try:
            async with self._session.get(url, timeout=aiohttp.ClientTimeout(total=MODELS_SECONDS)) as response:
                status, body = response.status, await response.read()
        except (aiohttp.ClientError, asyncio.TimeoutError, OSError) as error:
            raise UnusableServerError(f"{url} does not answer: {str(error) or 'nothing came'}") from error
        try:
            return str(json.loads(body)["data"][0]["id"])
        except (ValueError, KeyError, IndexError, TypeError) as error:
            raise UnusableServerError(
                f"{url} lists no model, its status is {status}; --model names one, OPENAI_API_KEY holds a key"
            ) from error


@asynccontextmanager
async def connected(url: str, endpoint: str, *, api_key: str | None, seconds: float) -> AsyncIterator[Client]:
    """A client whose requests may each take so many seconds."""
    connector = aiohttp.TCPConnector(limit=0)
    headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
    timeout = aiohttp.ClientTimeout(total=seconds)
    async with aiohttp.ClientSession(connector=connector, headers=headers, timeout=timeout) as session:
        yield Client(session, url, endpoint)


async def _read_stream(response: aiohttp.ClientResponse, clock: Clock) -> Reply:
    parser, reply = EventParser(), StreamedReply(response.status)
    async for piece in response.content.iter_any():
        moment = clock()
        for event in parser.push(piece):
            reply.add(event, moment)
    return reply.ended()
