import re
from pathlib import Path

import pytest

from router.openapi.document import openapi_document
from router.pages import TABLES, made_anew, write
from router.routes import TABLE
from testing.folders import DOCS

PAGES = [file for file in DOCS.glob("*.md") if "<!-- table: " in file.read_text(encoding="utf-8")]


@pytest.mark.parametrize("file", PAGES, ids=lambda file: file.name)
def test_the_tables_of_a_page_are_fresh(file: Path) -> None:
    page = file.read_text(encoding="utf-8")
    assert page == made_anew(page), "just docs writes it anew"


def test_every_table_has_its_place_in_a_page() -> None:
    places = [name for file in PAGES for name in re.findall("<!-- table: (.*?) -->", file.read_text(encoding="utf-8"))]
    assert sorted(places) == sorted(TABLES)


def test_what_is_written_by_hand_stays(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("before\n\n<!-- table: errors -->\noutdated\n<!-- end of table -->\n\nafter\n", encoding="utf-8")
    write(tmp_path)
    written = page.read_text(encoding="utf-8")
    assert written.startswith("before\n\n<!-- table: errors -->\n| Situation |")
    assert written.endswith("|\n<!-- end of table -->\n\nafter\n")
    assert "outdated" not in written


def test_a_table_that_nobody_knows_is_a_mistake() -> None:
    with pytest.raises(KeyError, match="weather"):
        made_anew("<!-- table: weather -->\n<!-- end of table -->\n")


@pytest.mark.parametrize("name", openapi_document(TABLE)["components"]["schemas"])
def test_every_field_is_in_some_page(name: str) -> None:
    pages = "".join(file.read_text(encoding="utf-8") for file in PAGES)
    for field in openapi_document(TABLE)["components"]["schemas"][name]["properties"]:
        assert re.search(rf'[`.]{field}`|"{field}":', pages), field


@pytest.mark.parametrize("path", openapi_document(TABLE)["paths"])
def test_the_page_of_the_api_has_every_path(path: str) -> None:
    assert re.search(rf"[` ]{re.escape(path)}`", (DOCS / "api.md").read_text(encoding="utf-8"))


def test_the_table_of_metrics_says_of_each_its_type_and_labels() -> None:
    table = TABLES["metrics"]()
    assert "| `tdi_request_success_total` | counter | `model_name`, `finished_reason` | " in table
    assert "| `tdi_worker_step_batch_size` | histogram | `model_name`, `worker` | " in table
    assert "process_cpu" not in table


def test_the_table_of_errors_says_how_each_looks() -> None:
    table = TABLES["errors"]()
    assert (
        "| 408 | `invalid_request_error` | `request_timeout` | `x-should-retry: false`, `Connection: close` |" in table
    )
    assert "| 404 | `invalid_request_error` | null |  |  |" in table
    assert "| 503 | `server_error` | `no_healthy_workers` | `Retry-After` | `UNAVAILABLE`, `CANCELLED` |" in table


def test_a_table_of_fields_goes_into_objects_and_leaves_out_what_another_has() -> None:
    both, chat = TABLES["what both requests say"](), TABLES["what chat requests say"]()
    assert "| `stream_options.include_usage` | boolean | `false` | send a last chunk with the usage |" in both
    assert '| `messages[].content[].type` | `"text"` | required |  |' in chat
    assert "`temperature`" not in chat
    assert "`logprobs`" not in both  # a number for one, true or false for the other
    assert "`tools`" not in chat
    assert "| `canvas.committed[].top_logprobs[].bytes` | list of integer | " in TABLES["chat event"]()
    assert '| `choices[].delta.role` | `"assistant"`, sometimes | ' in TABLES["chat event"]()
