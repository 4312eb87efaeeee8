import asyncio
import random
from collections.abc import Sequence
from typing import cast

import pytest

from testing.faults import load as module
from testing.faults.client import Case, Client
from testing.faults.ledger import Deaths, Verdict
from testing.faults.load import Load, UnfitError, undisturbed
from testing.openai_client import Choice, Reply

CASE = Case("short", "chat/completions", {})
RIGHT = Reply(status=200, choices={0: Choice("r-i", "stop")})
REFUSED = Reply(status=503, choices={}, error="no_healthy_workers", message="none", retry_after=0.01)


class Answering:
    """Gives these replies in turn, and right ones from then on; with `hangs`, streams never end."""

    def __init__(self, replies: Sequence[Reply] = (), *, hangs: bool = False) -> None:
        self._replies = list(replies)
        self.hangs = hangs
        self.asked = asyncio.Event()

    async def ask(self, case: Case, *, stream: bool) -> Reply:  # noqa: ARG002
        if stream and self.hangs:
            self.asked.set()
            await asyncio.Event().wait()
        await asyncio.sleep(0)
        return self._replies.pop(0) if self._replies else RIGHT


def load_on(answering: Answering) -> Load:
    return Load(cast("Client", answering), {CASE.name: RIGHT}, Deaths())


@pytest.fixture(autouse=True)
def _no_thinking(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "THINKING_SECONDS", 0)


async def test_a_refused_request_is_tried_again_until_it_is_answered() -> None:
    load = load_on(Answering([REFUSED, REFUSED]))
    async with load.running(1):
        await load.answered(3)
    assert load.ledger.retried == 2
    assert load.ledger.refused == {"no_healthy_workers": 2}
    assert load.ledger.asked == load.ledger.right >= 3


async def test_clients_that_leave_in_mid_stream_are_not_those_who_were_failed() -> None:
    answering = Answering(hangs=True)
    load = load_on(answering)
    async with load.running(1):
        await answering.asked.wait()
        answering.hangs = False
        assert load.leave(random.Random(0)) == 1
        await load.answered(1)
    assert load.ledger.left == 1
    assert load.ledger.attempts.keys() == {Verdict.RIGHT}
    assert load.ledger.asked == load.ledger.right + 1


async def test_a_stack_that_fails_undisturbed_is_not_worth_disturbing() -> None:
    with pytest.raises(UnfitError, match="short: no_healthy_workers none"):
        await undisturbed(cast("Client", Answering([REFUSED])), [CASE])
