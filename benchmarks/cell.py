"""One cell of the table of speeds, and the ratios that it gives."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """What was measured for one model, cache, rule and number of concurrent requests.

    `engine`, `http`, `oracle` and `limit` are tokens a second, the first two round by round and taken in turns.
    `operations` and `forward_passes` are those of a request, the mean over all; `matrix_rate` is operations a second,
    of the products that the limit rests on.
    """

    shape: str
    dtype: str
    cache: str
    rule: str
    concurrent: int
    engine: Sequence[float]
    http: Sequence[float]
    oracle: float | None
    limit: float
    matrix_rate: float
    operations: float
    forward_passes: float

    @property
    def engine_rate(self) -> float:
        return median(self.engine)

    @property
    def http_rate(self) -> float | None:
        return median(self.http) if self.http else None

    @property
    def over_oracle(self) -> float | None:
        return self.engine_rate / self.oracle if self.oracle else None

    @property
    def of_limit(self) -> float:
        return self.engine_rate / self.limit

    @property
    def http_over_engine(self) -> float | None:
        """The median of the rounds' ratios, each of two neighbours in time, for a machine's speed drifts."""
        if not self.http:
            return None
        return median([http / engine for http, engine in zip(self.http, self.engine, strict=True)])

    def record(self) -> dict[str, Any]:
        ratios = ("engine_rate", "http_rate", "over_oracle", "of_limit", "http_over_engine")
        return asdict(self) | {name: getattr(self, name) for name in ratios}
