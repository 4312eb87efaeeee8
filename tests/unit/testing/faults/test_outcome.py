from dataclasses import replace
from pathlib import Path

import pytest

from testing.faults import page
from testing.faults.faults import Done
from testing.faults.ledger import Ledger, Verdict
from testing.faults.outcome import Outcome
from testing.faults.plan import Kind
from testing.faults.watch import Memory, Sample, start_middle_end


def sample(at: float, *, router: bool = True) -> Sample:
    memory = Memory(60 + at, 40)
    return Sample(
        at=at, launcher=memory, descriptors=29, router=memory if router else None, router_age=at if router else None
    )


@pytest.fixture
def outcome() -> Outcome:
    ledger = Ledger(asked=10, left=1, retried=2)
    ledger.attempts.update({Verdict.RIGHT: 9, Verdict.REFUSED: 1, Verdict.CUT: 1})
    ledger.refused["no_healthy_workers"] = 1
    return Outcome(
        seconds=60,
        done=[
            Done(at=1, kind=Kind.WORKER_KILLED, to="worker-0", serving=2),
            Done(at=2, kind=Kind.HANGUP, to=None, serving=1),
        ],
        ledger=ledger,
        samples=[sample(0, router=False), sample(1), sample(2), sample(3), sample(4, router=False)],
        restarts=3,
        processes=5,
        recovered=4.0,
        held=0,
        exit_code=0,
        left_behind=[],
    )


def test_a_soak_in_which_all_is_told_is_as_it_has_to_be(outcome: Outcome) -> None:
    assert outcome.broken == []


def test_whatever_must_not_happen_is_told_in_a_sentence(outcome: Outcome) -> None:
    outcome.ledger.attempts[Verdict.WRONG] = 2
    broken = replace(outcome, recovered=None, held=1, exit_code=3, left_behind=["python -m worker"]).broken
    assert broken == [
        "2 requests answered with something else",
        "the stack did not recover from the last fault",
        "1 requests are still held although nobody asks",
        "the launcher ended with 3",
        "processes left behind: python -m worker",
    ]


def test_memory_is_told_where_there_was_a_router(outcome: Outcome) -> None:
    assert [each.at for each in start_middle_end(outcome.samples)] == [1, 2, 3]
    assert start_middle_end([]) == []


def test_the_figures_take_their_place_in_the_page_and_leave_the_rest(outcome: Outcome, tmp_path: Path) -> None:
    file = tmp_path / "page.md"
    file.write_text("before\n\n<!-- soak -->\noutdated\n<!-- end of soak -->\n\nafter\n")
    page.write(file, outcome.figures)
    written = file.read_text()
    assert written.startswith("before\n\n<!-- soak -->\n\n2 faults in 60 s")
    assert written.endswith("|\n\n<!-- end of soak -->\n\nafter\n")
    assert "outdated" not in written
    assert page.made_anew(written, outcome.figures) == written
