import json

from testing.faults.__main__ import PAGE, RESULT
from testing.faults.page import made_anew


def test_the_page_has_the_figures_of_the_last_soak() -> None:
    page = PAGE.read_text(encoding="utf-8")
    figures = json.loads(RESULT.read_text(encoding="utf-8"))
    assert page == made_anew(page, figures), "just soak --write writes both"
    assert figures["broken"] == []
