"""What is asked, and who asks it.

Each case has one right reply: temperature 0, or a seed, whatever else runs at the same time.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import aiohttp

from testing.faults.stack import MODEL
from testing.openai_client import Reply, ask

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

    def __init__(self, session: aiohttp.ClientSession, url: str, model: str = MODEL) -> None:
        self._session = session
        self._url = f"{url}/v1"
        self._model = model

    async def ask(self, case: Case, *, stream: bool) -> Reply:
        """What came of it, whatever went wrong."""
        url, body = f"{self._url}/{case.path}", json.dumps(case.body(stream=stream, model=self._model)).encode()
        return await ask(self._session, url, body, stream=stream, seconds=ATTEMPT_SECONDS)
