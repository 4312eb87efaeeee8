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
END_SECONDS: Final = 5.0  # for a stream to end after its last event
DONE: Final = "[DONE]"


@dataclass(frozen=True, slots=True)
class ModelCard:
    id: str
    block_length: int | None  # by default; None if the server does not say


@dataclass(frozen=True, slots=True)
class Server:
    """Its methods raise `NoAnswerError`."""

    url: str
    api_key: str = field(default="", repr=False)

    async def models(self) -> Sequence[ModelCard]:
        """At least one."""
        async with self._asked("GET", "models") as response:
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
            async with aclosing(events(response.content.iter_any())) as arriving:
                async for event in arriving:
                    if event == DONE:
                        await _read_on(response)
                        return
                    yield read_chunk(event)
        raise RefusedError("the server ended the reply early")

    @asynccontextmanager
    async def _asked(
        self, method: str, path: str, body: Mapping[str, Any] | None = None
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        headers = {"Authorization": f"Bearer {self.api_key}"} if self.api_key else {}
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS)
        with _told_plainly(self.url):
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
    except ValueError:
        content = None
    if response.ok and isinstance(content, dict):
        return content
    hint = "; a key belongs into TDI_API_KEY" if response.status == HTTPStatus.UNAUTHORIZED else ""
    raise RefusedError(f"{error_message(content)} (HTTP {response.status} from {response.url}{hint})")


def _card(told: Mapping[str, Any]) -> ModelCard:
    block_length = (told.get("defaults") or {}).get("block_length")
    return ModelCard(str(told["id"]), block_length if isinstance(block_length, int) else None)


@contextmanager
def _told_plainly(url: str) -> Iterator[None]:
    """What goes wrong with a connection, in words for the user."""
    try:
        yield
    except aiohttp.InvalidURL as error:
        raise WrongUseError(f"{url} is no URL of a server") from error
    except aiohttp.ClientSSLError as error:
        raise NoServerError(f"there is no secure connection to {url}: {error}") from error
    except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
        raise NoServerError(f"no server answers at {url}; `just run-launcher` starts one") from error
    except (aiohttp.ClientError, asyncio.TimeoutError) as error:
        raise RefusedError(f"the connection to {url} broke off") from error
