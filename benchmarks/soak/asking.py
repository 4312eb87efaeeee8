"""A client that keeps every character of a reply, and its end, however it comes."""

from typing import Final

import aiohttp

from benchmarks.serve.events import EventParser
from benchmarks.soak.cases import Case
from benchmarks.soak.configuration import MODEL
from benchmarks.soak.reply import HTTP_OK, Reply, StreamedReply, whole_reply

ATTEMPT_SECONDS: Final = 120.0


class Client:
    """Asks the router at `url` for replies of one model."""

    def __init__(self, session: aiohttp.ClientSession, url: str, model: str = MODEL, key: str | None = None) -> None:
        self._session = session
        self._url = f"{url}/v1"
        self._model = model
        self._headers = {"Authorization": f"Bearer {key}"} if key else {}

    async def ask(self, case: Case, *, stream: bool) -> Reply:
        """What came of it, whatever went wrong."""
        streamed = StreamedReply()
        try:
            async with self._session.post(
                f"{self._url}/{case.path}",
                json=case.body(stream=stream, model=self._model),
                headers=self._headers,
                timeout=aiohttp.ClientTimeout(total=ATTEMPT_SECONDS),
            ) as response:
                if not stream or response.status != HTTP_OK:
                    retry_after = response.headers.get("Retry-After")
                    return whole_reply(response.status, await response.read(), retry_after)
                parser = EventParser()
                async for piece in response.content.iter_any():
                    for event in parser.push(piece):
                        streamed.add(event)
                return streamed.so_far()
        except TimeoutError:
            return streamed.so_far(f"nothing more came within {ATTEMPT_SECONDS:g} s")
        except (aiohttp.ClientError, OSError) as error:
            return streamed.so_far(f"{type(error).__name__}: {error}")


def session() -> aiohttp.ClientSession:
    """Without a bound on connections; to be made inside an event loop."""
    return aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))
