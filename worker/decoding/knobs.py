"""Every option of every request, as columns: one value per row, a row being a masked position of an active block."""

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class Bias:
    """What to add to which logits: float32 `values` at int64 `rows` and `tokens`, each `[entries]`.

    `biased` are the numbers of the rows that have an entry.
    """

    biased: Tensor
    rows: Tensor
    tokens: Tensor
    values: Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class Knobs:
    """Float64 `temperature` and `top_p`, int64 `top_k`, `seeds`, `positions` and `steps`, each `[rows]`.

    What few rows ask for comes as the int64 numbers of those rows, so that the others need not pay for it: `sampled`
    (temperature above 0), `filtered` (of the sampled ones, counted among them: those with a top_k or top_p),
    `by_margin`, `by_entropy`, `at_random`, and `ranked`, the rows to report the `alternatives` likeliest tokens of.
    None where there are none.
    """

    temperature: Tensor
    top_p: Tensor
    top_k: Tensor
    seeds: Tensor
    positions: Tensor
    steps: Tensor
    sampled: Tensor | None = None
    filtered: Tensor | None = None
    bias: Bias | None = None
    by_margin: Tensor | None = None
    by_entropy: Tensor | None = None
    at_random: Tensor | None = None
    ranked: Tensor | None = None
    alternatives: int = 0
