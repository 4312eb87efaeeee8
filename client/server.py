"""One OpenAI-compatible server. Each request has a connection of its own, whose end cancels it on the server too."""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Final

import aiohttp

from client.chunks import Chunk, error_message, read_chunk
from client.errors import NoServerError, RefusedError, WrongUseError
from client.events import events
from client.question import Question

CONNECT_SECONDS: Final = 10.0
LIST_SECONDS: Final = 15.0  # for the list of models, the connection included: it waits for no model
SILENCE_SECONDS: Final = 120.0  # within a stream that has begun; this project's router sends something every 15
LOOKS: Final = 4  # in that time: a process that was suspended sleeps through one of them, and not through all
END_SECONDS: Final = 5.0  # for a stream to end after its last event
DONE: Final = "[DONE]"


@dataclass(frozen=True, slots=True)
class ModelCard:
    id: str
    block_length: int | None  # by default; None if the server does not say


@dataclass(frozen=True, slots=True)
class Server:
    """Its methods raise `NoAnswerError`.

    How long a request may wait and be worked on is the server's business: as long as a reply has not begun, a server
    that is busy and one that hangs look the same.
    """

    url: str
    api_key: str = field(default="", repr=False)
    list_seconds: float = LIST_SECONDS
    silence_seconds: float = SILENCE_SECONDS

    async def models(self) -> Sequence[ModelCard]:
        """At least one."""
        async with self._asked("GET", "models", seconds=self.list_seconds) as response:
            models = (await _checked_json(response)).get("data")
        if not models:
            raise RefusedError("the server has no model")
        try:
            return [_card(model) for model in models]
        except (TypeError, KeyError, AttributeError) as error:
            raise RefusedError("the server's list of models is none of an OpenAI-compatible server") from error

    async def whole(self, question: Question) -> dict[str, Any]:
        """The reply as one object."""
        async with self._asked("POST", question.path, question.body) as response:
            return await _checked_json(response)

    async def stream(self, question: Question) -> AsyncGenerator[Chunk, None]:
        """The reply in pieces, as they arrive."""
        async with self._asked("POST", question.path, {**question.body, "stream": True}) as response:
            if not response.ok:
                await _checked_json(response)
            async with aclosing(self._pieces(response)) as pieces, aclosing(events(pieces)) as arriving:
                async for event in arriving:
                    if event == DONE:
                        await _read_on(response)
                        return
                    yield read_chunk(event)
        raise RefusedError("the server ended the reply early")

    async def _pieces(self, response: aiohttp.ClientResponse) -> AsyncGenerator[bytes, None]:
        """Of a stream. Raises `RefusedError` if, once it has begun, nothing comes for too long, not even a comment."""
        piece = await response.content.readany()
        while piece:
            yield piece
            piece = await self._next_piece(response.content)

    async def _next_piece(self, content: aiohttp.StreamReader) -> bytes:
        reading = asyncio.ensure_future(content.readany())
        try:
            for _ in range(LOOKS):
                # Not `asyncio.wait_for`, which can lose a cancellation.
                if (await asyncio.wait({reading}, timeout=self.silence_seconds / LOOKS))[0]:
                    return await reading
        finally:
            reading.cancel()
        raise RefusedError(f"the reply broke off: the server said nothing more for {self.silence_seconds:g} s")

    @asynccontextmanager
    async def _asked(
        self, method: str, path: str, body: Mapping[str, Any] | None = None, *, seconds: float | None = None
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """The reply, all of which has to be there within `seconds`."""
        headers = {"Authorization": f"Bearer {self.api_key}"} if self.api_key else {}
        timeout = aiohttp.ClientTimeout(total=seconds, connect=CONNECT_SECONDS)
        with _told_plainly(self.url, seconds):
            async with (
                aiohttp.ClientSession(timeout=timeout, headers=headers) as session,
                session.request(method, f"{self.url}/{path}", json=body) as response,
            ):
                yield response


async def _read_on(response: aiohttp.ClientResponse) -> None:
    """To the end of the stream: whoever leaves earlier looks to the server as if the reply was not wanted."""
    with suppress(asyncio.TimeoutError, aiohttp.ClientError):
        await asyncio.wait_for(response.content.read(), END_SECONDS)


async def _checked_json(response: aiohttp.ClientResponse) -> dict[str, Any]:
    """The object in the body. Raises `RefusedError` with the server's own words if it refused."""
    try:
        content = json.loads(await response.read())
    except (ValueError, RecursionError):
        content = None
    if response.ok and isinstance(content, dict):
        return content
    hint = "; a key belongs into TDI_API_KEY" if response.status == HTTPStatus.UNAUTHORIZED else ""
    raise RefusedError(f"{error_message(content)} (HTTP {response.status} from {response.url}{hint})")


def _card(told: Mapping[str, Any]) -> ModelCard:
    block_length = (told.get("defaults") or {}).get("block_length")
    return ModelCard(str(told["id"]), block_length if isinstance(block_length, int) else None)


@contextmanager
def _told_plainly(url: str, seconds: float | None) -> Iterator[None]:
    """What goes wrong with a connection, in words for the user; `seconds` is what the reply may take."""
    try:
        yield
    except aiohttp.InvalidURL as error:
        raise WrongUseError(f"{url} is no URL of a server") from error
    except aiohttp.ClientSSLError as error:
        raise NoServerError(f"there is no secure connection to {url}: {error}") from error
    except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
        raise NoServerError(f"no server answers at {url}; `just run-launcher` starts one") from error
    except TimeoutError as error:
        raise NoServerError(f"{url} accepted the connection, but did not answer within {seconds:g} s") from error
    except aiohttp.ClientError as error:
        raise RefusedError(f"the connection to {url} broke off") from error
