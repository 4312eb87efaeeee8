import pytest

from testing.faults.ledger import Ledger, Verdict, verdict
from testing.openai_client import Choice, Reply

EXPECTED = Reply(status=200, choices={0: Choice("r-i-v-e-r", "stop")})
PART = {0: Choice("r-i", None)}
OTHER = {0: Choice("r-o", None)}


def refused(code: str = "no_healthy_workers", *, retry_after: float | None = 1) -> Reply:
    return Reply(status=503, choices={}, error=code, retry_after=retry_after)


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        (EXPECTED, Verdict.RIGHT),
        (Reply(status=200, choices={0: Choice("r-i-v-e-r", "length")}), Verdict.WRONG),
        (Reply(status=200, choices={}), Verdict.WRONG),
        (Reply(status=200, choices=EXPECTED.choices | {1: Choice("x", "stop")}), Verdict.WRONG),
        (refused(), Verdict.REFUSED),
        (refused(retry_after=None), Verdict.MISTAKEN),
        (refused("internal_error"), Verdict.MISTAKEN),
        (Reply(status=404, choices={}, error="model_not_found"), Verdict.MISTAKEN),
        (Reply(status=200, choices={}, error="no_healthy_workers"), Verdict.REFUSED),
        (Reply(status=200, choices=PART, error="no_healthy_workers"), Verdict.BROKEN_OFF),
        (Reply(status=200, choices=OTHER, error="no_healthy_workers"), Verdict.WRONG),
        (Reply(status=200, choices={1: Choice("r", None)}, error="no_healthy_workers"), Verdict.WRONG),
        (Reply(choices={}, lost="ServerDisconnectedError"), Verdict.LOST),
        (Reply(choices=PART, lost="ClientPayloadError"), Verdict.LOST),
        (Reply(choices=OTHER, lost="ClientPayloadError"), Verdict.WRONG),
    ],
)
def test_a_reply_is_judged_by_the_undisturbed_one(reply: Reply, expected: Verdict) -> None:
    assert verdict(reply, EXPECTED, router_died=False) is expected


def test_a_connection_that_is_cut_off_as_its_router_dies_is_not_lost_without_a_word() -> None:
    reply = Reply(choices=PART, lost="ClientPayloadError")
    assert verdict(reply, EXPECTED, router_died=True) is Verdict.CUT
    assert verdict(EXPECTED, EXPECTED, router_died=True) is Verdict.RIGHT


def test_the_books_tell_what_must_not_happen_and_keep_a_few_examples() -> None:
    ledger = Ledger()
    ledger.add("a", EXPECTED, EXPECTED)
    ledger.add("b", refused(), EXPECTED)
    ledger.add("c", Reply(status=200, choices=PART, error="draining"), EXPECTED)
    assert (ledger.right, ledger.refused, ledger.broken_off) == (1, {"no_healthy_workers": 1}, {"draining": 1})
    assert ledger.failed == {}
    for _ in range(20):
        ledger.add("d, 1 to 2 s", Reply(choices=PART, lost="reset"), EXPECTED)
    ledger.unanswered += 1
    assert ledger.failed == {"cut off without a word": 20, "never answered": 1}
    assert ledger.examples[Verdict.LOST] == ["d, 1 to 2 s: no response, reset , {0: ('r-i', None)}"] * 10
