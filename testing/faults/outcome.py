"""What a soak found out, and whether that is as it has to be."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from testing.faults.faults import Done
from testing.faults.ledger import Ledger, Verdict
from testing.faults.watch import Sample, start_middle_end


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """`recovered` in how many seconds everything served again after the last fault, none if it never did.

    `left_behind` are the processes that were still there after the launcher's end, `held` the requests that router or
    workers thought they had when nobody asked any more.
    """

    seconds: float
    done: Sequence[Done]
    ledger: Ledger
    samples: Sequence[Sample]
    restarts: int
    processes: int
    recovered: float | None
    held: int
    exit_code: int
    left_behind: Sequence[str]

    @property
    def broken(self) -> list[str]:
        """Of what has to hold, what does not."""
        problems = [f"{count} requests {what}" for what, count in self.ledger.failed.items()]
        if self.recovered is None:
            problems.append("the stack did not recover from the last fault")
        if self.held:
            problems.append(f"{self.held} requests are still held although nobody asks")
        if self.exit_code:
            problems.append(f"the launcher ended with {self.exit_code}")
        if self.left_behind:
            problems.append(f"processes left behind: {', '.join(self.left_behind)}")
        return problems

    @property
    def figures(self) -> dict[str, Any]:
        ledger = self.ledger
        return {
            "seconds": round(self.seconds, 1),
            "faults": dict(self._kinds),
            "requests": {
                "asked": ledger.asked,
                "right": ledger.right,
                "left": ledger.left,
                "unanswered": ledger.unanswered,
                "attempts": sum(ledger.attempts.values()) + ledger.left,
                "retried": ledger.retried,
                "refused": dict(ledger.refused),
                "broken_off": dict(ledger.broken_off),
                "cut_with_router": ledger.attempts[Verdict.CUT],
                "lost": ledger.attempts[Verdict.LOST],
                "mistaken": ledger.attempts[Verdict.MISTAKEN],
                "wrong": ledger.attempts[Verdict.WRONG],
            },
            "examples": {each.name.lower(): said for each, said in ledger.examples.items()},
            "restarts": self.restarts,
            "processes": self.processes,
            "recovered_seconds": self.recovered,
            "held": self.held,
            "exit_code": self.exit_code,
            "left_behind": list(self.left_behind),
            "samples": [asdict(sample) for sample in start_middle_end(self.samples)],
            "broken": self.broken,
        }

    @property
    def rows(self) -> list[Mapping[str, Any]]:
        """Fault by fault."""
        return [
            {"at": round(one.at, 1), "fault": one.kind.value, "to": one.to, "serving": one.serving} for one in self.done
        ]

    @property
    def _kinds(self) -> Counter[str]:
        return Counter(sorted(one.kind.value for one in self.done))
