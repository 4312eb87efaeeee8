"""What the user asks for."""

import argparse
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal
from urllib.parse import urlsplit

from client.options import add_options, options_in

Flag = Literal["suffix", "system", "json"]  # the ones that do not go with everything

DEFAULT_URL: Final = "http://127.0.0.1:3001/v1"
URL_VARIABLE: Final = "TDI_URL"
KEY_VARIABLE: Final = "TDI_API_KEY"
STANDARD_INPUT: Final = "-"

DESCRIPTION: Final = """\
Talks to a server of masked-diffusion models, or to any other of OpenAI's API.

  client.py "Spell river"          one message, one answer
  client.py < question.txt         the same, from standard input
  client.py                        a conversation; Ctrl-D ends it
  client.py --sample               sample conversations; an empty standard input plays them, too
"""
EPILOG: Final = """\
Ctrl-C cancels the answer, on the server too; a second one leaves.

exit codes:
  0    all went well
  1    the server refused or failed, or the answer broke off or could not be written
  2    wrong use
  3    no server answers
  130  interrupted by Ctrl-C
"""


@dataclass(frozen=True, slots=True)
class Arguments:
    message: str | None
    sample: bool
    suffix: str | None
    system: str | None
    watch: bool
    json: bool
    url: str
    api_key: str
    model: str | None
    options: Mapping[str, Any]

    def given(self, *flags: Flag) -> Iterator[Flag]:
        """Those of them that the user has set."""
        return (flag for flag in flags if getattr(self, flag) not in (None, False))


def parse(argv: Sequence[str]) -> Arguments:
    """Raises `SystemExit`, with argparse's exit code 2, for what cannot be."""
    parser = _parser()
    found = parser.parse_args(argv)
    arguments = Arguments(
        message=found.message,
        sample=found.sample,
        suffix=found.suffix,
        system=found.system,
        watch=found.watch,
        json=found.json,
        url=found.url,
        api_key=found.api_key,
        model=found.model,
        options=options_in(found),
    )
    for contradiction in _contradictions(arguments):
        parser.error(contradiction)
    return arguments


def base_url(text: str) -> str:
    """Where the API begins; for a URL without a path that is /v1."""
    try:
        parts = urlsplit(text.strip())
        reachable = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        reachable = parts = None
    if not parts or not reachable:
        raise argparse.ArgumentTypeError(f"this is no URL of a server; one looks like {DEFAULT_URL}")
    if parts.username is not None or parts.query or parts.fragment:
        raise argparse.ArgumentTypeError(f"a server's URL has nothing but host, port and path: {DEFAULT_URL}")
    return f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/') or '/v1'}"


def api_key(text: str) -> str:
    key = text.strip()
    if not (key.isascii() and key.isprintable()):
        raise argparse.ArgumentTypeError(f"this key, or {KEY_VARIABLE}, has characters that a header cannot carry")
    return key


def _contradictions(arguments: Arguments) -> Iterator[str]:
    if arguments.sample:
        if arguments.message is not None:
            yield "--sample says the messages itself; leave yours out"
        for flag in arguments.given("suffix", "system", "json"):
            yield f"--{flag} does not go with --sample"
    if arguments.suffix is not None and arguments.system is not None:
        yield "--system is for a conversation; with --suffix there is none"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="client.py",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("message", nargs="?", help="what to say; - takes it from standard input")
    parser.add_argument("--sample", action="store_true", help="play sample conversations")
    parser.add_argument("--system", metavar="TEXT", help="system message that goes before all others")
    parser.add_argument("--suffix", metavar="TEXT", help="fill in what stands between the message and this text")
    shown = parser.add_mutually_exclusive_group()
    shown.add_argument("--watch", action="store_true", help="draw the canvas while it is denoised")
    shown.add_argument("--json", action="store_true", help="print the server's whole reply as one line of JSON")
    _add_server(parser)
    add_options(parser)
    return parser


def _add_server(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("the server")
    group.add_argument(
        "--url",
        type=base_url,
        default=os.environ.get(URL_VARIABLE) or DEFAULT_URL,
        help=f"where it is [{URL_VARIABLE}, else {DEFAULT_URL}]",
    )
    group.add_argument(
        "--api-key",
        metavar="KEY",
        type=api_key,
        default=os.environ.get(KEY_VARIABLE, ""),
        help=f"if it asks for one [{KEY_VARIABLE}; better there, as others on this machine can see flags]",
    )
    group.add_argument("--model", metavar="ID", help="which of its models [the first]")
