"""What is asked, and a client that keeps every character of a reply, and its end, however it comes.

Each case has one right reply: temperature 0, or a seed, whatever else runs at the same time.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import aiohttp

from testing.events import EventParser
from testing.faults.reply import HTTP_OK, Reply, StreamedReply, whole_reply
from testing.faults.stack import MODEL

ATTEMPT_SECONDS: Final = 120.0
CHAT: Final = "chat/completions"
COMPLETIONS: Final = "completions"


@dataclass(frozen=True, slots=True)
class Case:
    """`fields` without `model` and `stream`."""

    name: str
    path: str
    fields: Mapping[str, Any]

    def body(self, *, stream: bool, model: str = MODEL) -> dict[str, Any]:
        return {"model": model, **self.fields, **({"stream": True} if stream else {})}


def _chat(name: str, text: str, **fields: Any) -> Case:
    return Case(name, CHAT, {"messages": [{"role": "user", "content": text}], **fields})


CASES: Final[Sequence[Case]] = (
    _chat("short", "Spell river"),
    _chat("count", "Count to 7", max_tokens=64),
    _chat("stopped", "Count to 7", stop=["5", "nine"]),
    _chat("two", "What is the capital of France?", n=2, temperature=1.2, seed=7, max_tokens=32, steps=32),
    _chat("sampled", "What is 4738 + 9283?", temperature=2, seed=3, max_tokens=24, steps=24, ignore_eos=True),
    _chat("nucleus", "What are you?", temperature=0.8, top_p=0.9, seed=11, max_tokens=96, steps=96),
    _chat("long", "Tell me a story", max_tokens=128, steps=128, ignore_eos=True),
    _chat("whole", "What day comes after Monday?", kv_cache="none", max_tokens=32, steps=32, ignore_eos=True),
    _chat("prefix", "Say river two times", kv_cache="prefix", max_tokens=64, steps=64, ignore_eos=True),
    _chat("factor", "What is the opposite of hot?", factor=1.5, max_tokens=48),
    _chat("random", "Spell orange", remasking="random", seed=5, max_tokens=64, steps=64, ignore_eos=True),
    _chat("guided", "What is 12 + 7?", cfg_scale=0.5, max_tokens=32),
    Case("completed", COMPLETIONS, {"prompt": "one, two, three,", "max_tokens": 48, "steps": 48, "ignore_eos": True}),
    Case("filled in", COMPLETIONS, {"prompt": "The river is ", "suffix": " and wide.", "max_tokens": 16}),
)


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
        except asyncio.TimeoutError:
            return streamed.so_far(f"nothing more came within {ATTEMPT_SECONDS:g} s")
        except (aiohttp.ClientError, OSError) as error:
            return streamed.so_far(f"{type(error).__name__}: {error}")


def session() -> aiohttp.ClientSession:
    """Without a bound on connections; to be made inside an event loop."""
    return aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))
