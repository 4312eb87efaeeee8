"""The tables in the pages of the documentation that are made from the code, so that they cannot say anything else.

A page has them between two comments, `<!-- table: NAME -->` and `<!-- end of table -->`, and is written by hand around
them. `just docs` makes them anew; a test holds what is in docs/ to what would be made.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Final

from prometheus_client.metrics_core import Metric

from router.endpoints.metrics import Scrape
from router.metrics import Metrics, QueueState
from router.openapi.document import openapi_document
from router.openapi.tables import errors_table, fields_table, tolerated_table
from router.routes import TABLE
from router.schema.responses import Json
from router.workers.stats import WorkerSnapshot
from router.workers.worker import WorkerState
from textdiffusion.v1.textdiffusion_pb2 import GetStatsResponse

PREFIX = "tdi_"
SCHEMAS: Final[Json] = openapi_document(TABLE)["components"]["schemas"]
PLACE: Final = re.compile(r"(?<=<!-- table: )(?P<name>[^>]*)( -->\n).*?(?=<!-- end of table -->)", re.DOTALL)


def metrics_table() -> str:
    rows = (_row(family) for family in _every_family() if family.name.startswith(PREFIX))
    return "| Name | Type | Labels | Meaning |\n|---|---|---|---|\n" + "".join(sorted(rows))


def _every_family() -> Iterable[Metric]:
    """All there are, each with a sample, as only samples have labels."""
    metrics = Metrics(lambda: [QueueState("model", 0, 0)])
    metrics.meet(["model"])
    metrics.http_request("/", "GET", 200, 0)
    metrics.request_error("code")
    worker = WorkerSnapshot(0, "", WorkerState.SERVING, None, GetStatsResponse(step_batch_sizes=[1]))
    return Scrape(metrics.registry, [worker]).collect()


def _row(family: Metric) -> str:
    suffix = {"counter": "_total", "info": "_info"}.get(family.type, "")
    labels = ", ".join(f"`{label}`" for label in family.samples[0].labels if label != "le")
    return f"| `{family.name}{suffix}` | {family.type} | {labels} | {family.documentation} |\n"


table = partial(fields_table, SCHEMAS)
request_table = partial(table, tolerated_apart=True)  # what is only tolerated in them has a table of its own

TABLES: Final[Mapping[str, Callable[[], str]]] = MappingProxyType(
    {
        "metrics": metrics_table,
        "errors": errors_table,
        "what both requests say": partial(request_table, "ChatRequest", also_of="CompletionRequest"),
        "what chat requests say": partial(request_table, "ChatRequest", not_of="CompletionRequest"),
        "what completion requests say": partial(request_table, "CompletionRequest", not_of="ChatRequest"),
        "what is tolerated": partial(tolerated_table, SCHEMAS),
        "tokenize": partial(table, "TokenizeRequest"),
        "tokens": partial(table, "Tokens"),
        "detokenize": partial(table, "DetokenizeRequest"),
        "text": partial(table, "Detokenized"),
        "chat reply": partial(table, "ChatCompletion"),
        "chat event": partial(table, "ChatCompletionChunk", not_of="ChatCompletion"),
        "completion reply": partial(table, "Completion", not_of="ChatCompletion"),
        "completion event": partial(table, "CompletionChunk", not_of="ChatCompletionChunk"),
        "error": partial(table, "ErrorObject"),
        "models": partial(table, "ModelList"),
        "health": partial(table, "Health"),
        "stats": partial(table, "EngineStats"),
    }
)


def made_anew(page: str) -> str:
    """The page with its tables as they ought to be. Raises `KeyError` for one that nobody knows."""
    return PLACE.sub(lambda place: f"{place['name']} -->\n{TABLES[place['name']]()}", page)


def write(folder: Path) -> None:
    for file in folder.glob("*.md"):
        file.write_text(made_anew(file.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    write(Path("docs"))
