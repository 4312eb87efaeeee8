"""When requests arrive. All of it is drawn before the load begins, so nothing that a server does can change it."""

import math
import random
from itertools import count


def arrivals(
    rate: float,
    rng: random.Random,
    *,
    burstiness: float = 1.0,
    requests: int | None = None,
    seconds: float = math.inf,
) -> list[float]:
    """Seconds from the beginning at which requests arrive: so many, or as many as fit into so many seconds.

    The gaps are gamma distributed with mean 1 / `rate` and shape `burstiness`: 1 makes it a Poisson process, less comes
    in bursts, more is regular. An infinite rate is all of them at once. Raises `ValueError` if there would be no end.
    """
    if requests is None and (math.isinf(seconds) or math.isinf(rate)):
        raise ValueError("the number of requests or, at a finite rate, the seconds have to be bounded")
    if math.isinf(rate):
        return [0.0] * (requests or 0)
    moments: list[float] = []
    moment = 0.0
    for number in count():
        moment += rng.gammavariate(burstiness, 1 / (rate * burstiness))
        if number == requests or moment >= seconds:
            return moments
        moments.append(moment)
    raise AssertionError  # counting has no end
