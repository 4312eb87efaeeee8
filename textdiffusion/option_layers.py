"""What becomes of options that are given in several places, and which of one place contradict each other."""

from collections.abc import Iterator, Mapping
from math import ceil
from typing import Any, Final, NamedTuple

Options = Mapping[str, Any]

# Each says how many positions a step commits: one that is given ends these from below.
_ENDED_BY: Final[Mapping[str, tuple[str, ...]]] = {
    "steps": ("threshold", "factor", "steps_per_block"),
    "steps_per_block": ("threshold", "factor", "steps"),
    "threshold": ("threshold", "factor"),
    "factor": ("threshold", "factor"),
}
_EXCLUSIVE: Final = (("factor", "threshold"), ("steps_per_block", "steps"))
_PARALLEL: Final = ("min_parallel_tokens", "max_parallel_tokens")
_BOUNDED: Final = (_PARALLEL, ("min_tokens", "max_tokens"))
GROW: Final = "grow"
FIXED: Final = "fixed"
NOT_WITH_SUFFIX: Final = "is grow, which does not go with suffix, as nothing stands behind a canvas that grows"
NOT_WITH_GUIDANCE: Final = (
    "is grow, which does not go with cfg_scale, as guidance's unconditional pass is not defined there"
)


class Contradiction(NamedTuple):
    """The option at fault, and the end of the sentence that begins with its name; `exclude` are two that do so."""

    name: str
    reason: str
    exclude: tuple[str, str] | None = None

    @property
    def in_config(self) -> str:
        """The sentence for those who have a table of them before them."""
        if self.exclude:
            return f"{self.exclude[1]} and {self.exclude[0]} exclude each other"
        return f"{self.name} {self.reason}"


def contradictions(options: Options) -> Iterator[Contradiction]:
    """Yield those among options that one place gives."""
    for name, other in _EXCLUSIVE:
        if _is_given(options, name) and _is_given(options, other):
            yield Contradiction(name, f"excludes {other}; give one of them", (name, other))
    for least, most in _BOUNDED:
        if _exceeds(options.get(least), options.get(most)):
            yield Contradiction(least, f"must not be more than {most}")
    if options.get("canvas") == GROW and (options.get("cfg_scale") or 0) > 0:
        yield Contradiction("canvas", NOT_WITH_GUIDANCE)


def merged_generation(lower: Options, upper: Options) -> dict[str, Any]:
    """Return options with those of `upper` laid over them; a rule from there ends any other from below."""
    ended = {name for rule, names in _ENDED_BY.items() if _is_given(upper, rule) for name in names}
    return {**{name: value for name, value in lower.items() if name not in ended}, **upper}


def lay_over(lower: Options, upper: Options) -> dict[str, Any]:
    """Do the same with options whose values are known to be right: no bound from below contradicts `upper` either."""
    kept = dict(lower)
    least, most = _PARALLEL
    if _exceeds(upper.get(least), kept.get(most)):
        del kept[most]
    if _exceeds(kept.get(least), upper.get(most)):
        del kept[least]
    if _is_given(upper, "block_length") and _is_given(kept, "steps_per_block") and _is_given(kept, "block_length"):
        # As many tokens a step as before, in blocks of another length.
        steps = kept["steps_per_block"] * upper["block_length"] / kept["block_length"]
        kept["steps_per_block"] = max(1, ceil(steps))
    if "canvas" not in upper and kept.get("canvas") == GROW and (upper.get("cfg_scale") or 0) > 0:
        kept["canvas"] = FIXED
    return merged_generation(kept, upper)


def _is_given(options: Options, name: str) -> bool:
    return options.get(name) is not None


def _exceeds(least: int | None, most: int | None) -> bool:
    return least is not None and most is not None and least > most
