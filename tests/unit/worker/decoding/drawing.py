from typing import Any

import torch

from worker.decoding.sampling_metadata import SamplingTensors


def sampling_tensors(count: int, **changed: Any) -> SamplingTensors:
    """The same options for `count` positions of one request."""
    values = {"temperature": 0.0, "top_p": 1.0, "min_p": 0.0, "top_k": 0, "seeds": 1, "steps": 0} | changed
    rows = torch.arange(count)
    subsets = {
        "sampled_rows": rows if values["temperature"] else None,
        "filtered_rows": rows if values["top_p"] < 1 or values["min_p"] or values["top_k"] else None,
    }
    columns = {
        name: torch.full(
            (count,), value, dtype=torch.float64 if name in ("temperature", "top_p", "min_p") else torch.int64
        )
        for name, value in values.items()
        if name in ("temperature", "top_p", "min_p", "top_k", "seeds", "steps")
    }
    others = {name: value for name, value in values.items() if name not in columns}
    return SamplingTensors(**columns, **subsets | others, positions=rows)
