from typing import Any

import torch

from worker.decoding.knobs import Knobs


def knobs(count: int, **changed: Any) -> Knobs:
    """The same options for `count` positions of one request."""
    values = {"temperature": 0.0, "top_p": 1.0, "top_k": 0, "seeds": 1, "steps": 0} | changed
    rows = torch.arange(count)
    subsets = {
        "sampled": rows if values["temperature"] else None,
        "filtered": rows if values["top_p"] < 1 or values["top_k"] else None,
    }
    columns = {
        name: torch.full((count,), value, dtype=torch.float64 if name in ("temperature", "top_p") else torch.int64)
        for name, value in values.items()
        if name in ("temperature", "top_p", "top_k", "seeds", "steps")
    }
    others = {name: value for name, value in values.items() if name not in columns}
    return Knobs(**columns, **subsets | others, positions=rows)
