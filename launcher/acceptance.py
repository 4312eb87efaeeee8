"""Whether a router uses the workers that it was given."""

from collections.abc import Mapping
from typing import Any


class RefusedError(Exception):
    """The router reaches a worker and will not use it; waiting would change nothing."""


def uses_all(health: Mapping[str, Any] | None, workers: Mapping[str, str]) -> bool:
    """Whether the router's GET /health says that it uses all of `workers`, which maps their addresses to names.

    Raises `RefusedError`.
    """
    seen = {worker["address"]: worker for worker in health["workers"]} if health else {}
    for address, name in workers.items():
        if address in seen and seen[address]["state"] == "refused":
            raise RefusedError(f"the router refuses {name}: {seen[address]['reason']}")
    return all(address in seen and seen[address]["state"] == "serving" for address in workers)
