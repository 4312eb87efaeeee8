"""Many durations in a few figures."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True, kw_only=True)
class Distribution:
    """Milliseconds; a percentile between two of them is interpolated."""

    mean: float
    median: float
    p90: float
    p95: float
    p99: float
    max: float

    @classmethod
    def of(cls, seconds: Sequence[float]) -> "Distribution | None":
        """None if there is nothing to sum up."""
        if not seconds:
            return None
        milliseconds = 1e3 * np.asarray(seconds, dtype=np.float64)
        median, p90, p95, p99 = (round(float(value), 3) for value in np.percentile(milliseconds, (50, 90, 95, 99)))
        return cls(
            mean=round(float(milliseconds.mean()), 3),
            median=median,
            p90=p90,
            p95=p95,
            p99=p99,
            max=round(float(milliseconds.max()), 3),
        )
