"""What a soak says to whoever started it, and to the readers of docs/reliability.md."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from testing.report import Table, number

PLACE: Final = re.compile(r"(?<=<!-- soak -->\n).*?(?=<!-- end of soak -->)", re.DOTALL)

_Figures = Mapping[str, Any]
_Row = tuple[str, object]

COUNTS: Final[Table[_Row]] = Table({"Counted": lambda row: row[0], "Times": lambda row: row[1]})
TAKEN: Final[Table[_Figures]] = Table(
    {
        "After": lambda sample: f"{sample['at']:.0f} s",
        "Launcher: resident, proportional": lambda sample: _memory(sample["launcher"]),
        "its file descriptors": lambda sample: sample["descriptors"],
        "Router in charge: resident, proportional": lambda sample: _memory(sample["router"]),
        "its age": lambda sample: _seconds(sample["router_age"]),
    }
)


def text_of(figures: _Figures) -> str:
    """Markdown, and readable as it is."""
    parts = [_sentence(figures), COUNTS.whole(list(_counts(figures))), TAKEN.whole(figures["samples"])]
    return "\n\n".join(parts) + "\n"


def write(page: Path, figures: _Figures) -> None:
    """Puts the figures into their place in the page, which is written by hand around it."""
    text = page.read_text(encoding="utf-8")
    page.write_text(made_anew(text, figures), encoding="utf-8")


def made_anew(page: str, figures: _Figures) -> str:
    return PLACE.sub(lambda _: f"\n{text_of(figures)}\n", page)


def _sentence(figures: _Figures) -> str:
    faults = sum(figures["faults"].values())
    recovered = figures["recovered_seconds"]
    after = "never again" if recovered is None else f"again {recovered:.0f} s after the last one"
    kinds = ", ".join(f"{kind} {count}" for kind, count in figures["faults"].items())
    return f"{faults} faults in {figures['seconds']:.0f} s; all served {after}. They were: {kinds}."


def _counts(figures: _Figures) -> Iterator[_Row]:
    requests = figures["requests"]
    yield "requests", requests["asked"]
    yield "answered whole and right", requests["right"]
    yield "left by their clients in the middle", requests["left"]
    yield "attempts that clients made for them", requests["attempts"]
    for code, count in requests["refused"].items():
        yield f"refused with `{code}`, before any of the reply came", count
    for code, count in requests["broken_off"].items():
        yield f"broken off with `{code}` in mid-reply", count
    yield "cut off together with the router", requests["cut_with_router"]
    yield "**cut off without a word**", requests["lost"]
    yield "**told of an error that nothing explains**", requests["mistaken"]
    yield "**answered with something else**", requests["wrong"]
    yield "**never answered**", requests["unanswered"]
    yield "processes started again by the launcher", figures["restarts"]
    yield "**processes left behind**", len(figures["left_behind"])


def _memory(memory: _Figures | None) -> str:
    return f"{memory['resident']:.1f} MiB, {memory['proportional']:.1f} MiB" if memory else ""


def _seconds(seconds: float | None) -> str:
    return f"{number(seconds, '.0f')} s" if seconds is not None else ""
