from collections.abc import Sequence
from dataclasses import replace

import pytest

from client.cells import BEYOND, BOUNDARY, MASK, SPECIAL, Cell, Look, cells_of, focus_of, rows_of, visible, window
from client.progress import Progress


def progress(*tokens: str | None, latest: Sequence[int] = ()) -> Progress:
    return Progress(0, 0, tokens=tokens, latest=frozenset(latest), confidences={0: 0.5})


def rows(text: str, width: int) -> list[str]:
    """Those that the words fill, each being a cell."""
    cells = (Cell(word, Look.COMMITTED) for word in text.split("|"))
    return ["".join(cell.text for cell in row) for row in rows_of(cells, width, len)]


def test_each_token_is_a_cell_that_tells_how_it_came() -> None:
    assert list(cells_of(progress("a", None, "c", latest=[2]), None)) == [
        Cell("a", Look.COMMITTED, 0.5, 0),
        Cell(MASK, Look.MASKED, None, 1),
        Cell("c", Look.LATEST, None, 2),
    ]


def test_what_stands_behind_the_end_of_an_answer_is_no_part_of_it() -> None:
    whole = replace(progress("a", "b", "<|end|>", None, latest=[0, 2]), length=2)
    assert [(cell.text, cell.look) for cell in cells_of(whole, None)] == [
        ("a", Look.LATEST),
        ("b", Look.COMMITTED),
        (BEYOND, Look.BEYOND),
        (BEYOND, Look.BEYOND),
    ]


def test_blocks_are_kept_apart() -> None:
    text = "".join(cell.text for cell in cells_of(progress(*"abcde"), 2))
    assert text == f"ab{BOUNDARY}cd{BOUNDARY}e"


@pytest.mark.parametrize(
    ("token", "shown"),
    [
        (" a", " a"),
        ("\n", "␊"),
        ("\t\x1b[31m", "␉␛[31m"),
        ("\x7f\x9b", "␡<9B>"),
        ("<|eot_id|>", SPECIAL),
        ("</s>", SPECIAL),
        ("", SPECIAL),
        ("<|", "<|"),
        ("[red]", "[red]"),
    ],
)
def test_what_a_terminal_would_obey_or_not_show_has_a_stand_in(token: str, shown: str) -> None:
    assert visible(token) == shown


def test_no_row_is_wider_than_the_terminal() -> None:
    assert rows("ab|cd|efg|h", 4) == ["abcd", "efgh"]
    assert rows("ab|cde|f", 4) == ["ab", "cdef"]
    assert rows("a|bcdefgh|i", 3) == ["a", "bcd", "efg", "hi"]
    assert rows("ab", 1) == ["a", "b"]


def test_letters_that_are_wider_than_the_terminal_end_all_the_same() -> None:
    wide = rows_of(iter([Cell("漢字", Look.COMMITTED)]), 1, lambda text: 2 * len(text))
    assert ["".join(cell.text for cell in row) for row in wide if row] == ["漢", "字"]


@pytest.mark.parametrize(("focus", "first"), [(0, 0), (4, 2), (5, 3), (9, 6)])
def test_of_a_canvas_that_is_too_high_the_part_is_shown_where_something_happens(focus: int, first: int) -> None:
    all_rows = [[Cell("x", Look.MASKED, position=position)] for position in range(10)]
    assert window(all_rows, 4, focus) == (first, all_rows[first : first + 4])


def test_a_canvas_that_fits_is_shown_whole() -> None:
    all_rows = [[Cell("x", Look.MASKED, position=0)]]
    assert window(all_rows, 4, 0) == (0, all_rows)


def test_something_happens_where_the_last_step_committed_or_else_where_the_next_will() -> None:
    assert focus_of(progress("a", None, "c", "d", latest=[3, 2])) == 2
    assert focus_of(progress("a", None, None)) == 1
    assert focus_of(progress("a")) == 0
