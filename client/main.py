"""What the terminal client does, and how it ends."""

import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Final

from client.answers import Answers, View
from client.arguments import Arguments, parse
from client.errors import EXIT_INTERRUPTED, NoAnswerError
from client.interrupts import Interrupts
from client.modes import mode_of
from client.printing import Printed, note, steers_a_cursor, writing
from client.server import ModelCard, Server

UNWATCHABLE: Final = "--watch needs a terminal that can be drawn on; only the answer is printed."
WATCHED_FIELDS: Final = {"diffusing": True, "stream_options": {"include_usage": True}}


def main(argv: Sequence[str], interrupts: Interrupts) -> int:
    """The exit code: 0, 1 refused, failed or unwritable, 2 wrong use, 3 no server answers, 130 interrupted."""
    arguments = parse(argv)
    try:
        mode = mode_of(arguments, sys.stdin)
        with writing():
            mode(_answers(arguments, interrupts))
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except NoAnswerError as error:
        note(f"error: {error}")
        return error.exit_code
    return 0


def _answers(arguments: Arguments, interrupts: Interrupts) -> Answers:
    server = Server(arguments.url, arguments.api_key)
    watching = arguments.watch and steers_a_cursor(sys.stdout)
    if arguments.watch and not watching:
        note(UNWATCHABLE)
    block_length = arguments.options.get("block_length")
    model = arguments.model
    if model is None or (watching and block_length is None):
        card = _card(interrupts.run(server.models), model)
        model, block_length = card.id, block_length or card.block_length
    fields = {"model": model, **arguments.options}
    if not watching:
        return Answers(server, fields, interrupts, Printed)
    return Answers(server, {**fields, **WATCHED_FIELDS}, interrupts, _watched(block_length))


def _card(models: Sequence[ModelCard], wanted: str | None) -> ModelCard:
    """Of the model that is wanted, or of the first; whether there is such a one is for the server to say."""
    if wanted is None:
        return models[0]
    return next((card for card in models if card.id == wanted), ModelCard(wanted, None))


def _watched(block_length: int | None) -> Callable[[str], AbstractContextManager[View]]:
    from client.watching import Watched, terminal  # noqa: PLC0415  (rich takes its time)

    return lambda prefix: Watched(prefix, block_length, terminal())
