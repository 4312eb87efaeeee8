"""A terminal client: `client.py` plays a sample conversation, `client.py "Spell river"` sends one message."""

import argparse
import asyncio
import codecs
import json
import os
import sys
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import aiohttp

DEFAULT_URL = "http://127.0.0.1:3001/v1"
KEY_VARIABLE = "TDI_API_KEY"  # no flag, which others on this machine could read
CONNECT_SECONDS = 10
EXIT_REFUSED, EXIT_NO_SERVER, EXIT_INTERRUPTED = 1, 2, 130

# Each conversation is a system message, or none, and what the user says turn after turn.
SAMPLE_CONVERSATIONS: tuple[tuple[str | None, tuple[str, ...]], ...] = (
    ("Only respond with ORANGE", ("Hello", "What is the capital of France?", "Count to 3")),
    (None, ("What are you?", "Spell river", "Count to 7")),
    (None, ("My name is Ada.", "What is 12 + 7?", "What is my name?")),
)

Message = dict[str, str]


class RefusedError(Exception):
    """The server answered, but not with a reply."""


@dataclass(frozen=True)
class Server:
    """An OpenAI-compatible server, and the options that go with each request to it."""

    session: aiohttp.ClientSession
    url: str
    options: dict[str, Any] = field(default_factory=dict)

    async def first_model(self) -> str:
        async with self.session.get(f"{self.url}/models") as response:
            models = (await checked_json(response)).get("data") or []
        if not models:
            raise RefusedError("the server has no model")
        return str(models[0]["id"])

    async def reply(self, model: str, messages: Sequence[Message]) -> AsyncIterator[str]:
        """The pieces of the assistant's message, as they arrive."""
        body = {"model": model, "messages": list(messages), "stream": True, **self.options}
        async with self.session.post(f"{self.url}/chat/completions", json=body) as response:
            if not response.ok:
                await checked_json(response)
            async for event in events(response.content.iter_any()):
                if event == "[DONE]":
                    return
                chunk = json.loads(event)
                if "error" in chunk:
                    raise RefusedError(error_message(chunk))
                for choice in chunk.get("choices", ()):
                    yield choice["delta"].get("content") or ""
        raise RefusedError("the server ended the reply early")


async def events(received: AsyncIterator[bytes]) -> AsyncIterator[str]:
    """The data of each server-sent event."""
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    pending = ""
    async for piece in received:
        *lines, pending = (pending + decoder.decode(piece)).split("\n")
        for line in lines:
            if line.startswith("data:"):
                yield line.removeprefix("data:").strip()


async def checked_json(response: aiohttp.ClientResponse) -> dict[str, Any]:
    """The object in the body. Raises `RefusedError` with the server's own words if it refused."""
    try:
        content = json.loads(await response.read())
    except ValueError:
        content = None
    if response.ok and isinstance(content, dict):
        return content
    raise RefusedError(f"{error_message(content)} (HTTP {response.status} from {response.url})")


def error_message(content: object) -> str:
    """What OpenAI's error object says, or what comes closest to it."""
    error = content.get("error") if isinstance(content, dict) else None
    message = error.get("message") if isinstance(error, dict) else error
    return str(message) if message else "this is no answer of an OpenAI-compatible server"


async def show_reply(server: Server, model: str, messages: Sequence[Message]) -> str:
    """Prints the reply while it streams, and returns it."""
    reply = ""
    try:
        async for piece in server.reply(model, messages):
            show(piece)
            reply += piece
    finally:
        show("\n" if reply else "")
    return reply


async def play_sample(server: Server, model: str) -> None:
    for number, (system, turns) in enumerate(SAMPLE_CONVERSATIONS):
        messages = opening(system)
        show("\n" if number else "")
        show(f"system: {system}\n" if system else "")
        for turn in turns:
            show(f"user: {turn}\nassistant: ")
            messages.append({"role": "user", "content": turn})
            messages.append({"role": "assistant", "content": await show_reply(server, model, messages)})


def show(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()


def authorization() -> dict[str, str]:
    """The header that a server with keys asks for. Raises `RefusedError` for a key that no header could carry."""
    key = os.environ.get(KEY_VARIABLE, "").strip()
    if not (key.isascii() and key.isprintable()):
        raise RefusedError(f"{KEY_VARIABLE} is no API key: it has characters that a header cannot carry")
    return {"Authorization": f"Bearer {key}"} if key else {}


def opening(system: str | None) -> list[Message]:
    return [{"role": "system", "content": system}] if system else []


def parse(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="client.py",
        description=__doc__,
        epilog=f"A server that asks for an API key finds it in {KEY_VARIABLE}.",
        allow_abbrev=False,
    )
    parser.add_argument("prompt", nargs="?", help="what to say; without it a sample conversation is played")
    parser.add_argument(
        "--url",
        default=os.environ.get("TDI_URL") or DEFAULT_URL,
        help=f"where the server is [TDI_URL, else {DEFAULT_URL}]",
    )
    parser.add_argument("--model", help="model id [the first that the server has]")
    parser.add_argument("--system", help="system message that goes before the prompt")
    options = parser.add_argument_group("options of the request; without them the server's defaults hold")
    options.add_argument("--max-tokens", type=int, help="tokens to generate")
    options.add_argument("--temperature", type=float, help="0 takes the likeliest token")
    options.add_argument("--seed", type=int, help="the same seed gives the same reply")
    options.add_argument("--steps", type=int, help="denoising steps")
    options.add_argument("--threshold", type=float, help="commit all positions at or above this confidence")
    options.add_argument("--block-length", type=int, help="positions per semi-autoregressive block")
    return parser.parse_args(argv)


async def talk(arguments: argparse.Namespace) -> None:
    names = ("max_tokens", "temperature", "seed", "steps", "threshold", "block_length")
    options = {name: value for name in names if (value := getattr(arguments, name)) is not None}
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS)
    async with aiohttp.ClientSession(timeout=timeout, headers=authorization()) as session:
        server = Server(session, arguments.url.rstrip("/"), options)
        model = arguments.model or await server.first_model()
        if arguments.prompt is None:
            await play_sample(server, model)
        else:
            await show_reply(server, model, [*opening(arguments.system), {"role": "user", "content": arguments.prompt}])


def main(argv: Sequence[str]) -> int:
    arguments = parse(argv)
    try:
        asyncio.run(talk(arguments))
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except RefusedError as error:
        return failed(str(error), EXIT_REFUSED)
    except aiohttp.InvalidURL:
        return failed(f"{arguments.url} is no URL; it looks like {DEFAULT_URL}", EXIT_NO_SERVER)
    except aiohttp.ClientConnectorError:
        return failed(f"no server answers at {arguments.url}; `just run-launcher` starts one", EXIT_NO_SERVER)
    except (aiohttp.ClientError, asyncio.TimeoutError):
        return failed(f"the connection to {arguments.url} broke off", EXIT_REFUSED)
    except BrokenPipeError:
        # Whoever read the output has enough; the interpreter must not try to flush the rest.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def failed(message: str, code: int) -> int:
    sys.stderr.write(f"error: {message}\n")
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
