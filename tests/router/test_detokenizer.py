from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from router.detokenizer import REPLACEMENT, Detokenizer


def decode(ids: Sequence[int]) -> str:
    """The hardest tokenizer there is: one token a byte."""
    return bytes(ids).decode("utf-8", errors="replace")


@given(st.text(st.characters(exclude_characters=REPLACEMENT, exclude_categories=["Cs"])), st.integers(1, 5))
def test_pieces_hold_whole_characters_and_add_up_to_the_text(text: str, batch: int) -> None:
    ids, detokenizer = list(text.encode()), Detokenizer(decode)
    pieces = [detokenizer.push(ids[start : start + batch]) for start in range(0, len(ids), batch)]
    assert not any(REPLACEMENT in piece for piece in pieces)
    assert "".join(pieces) + detokenizer.flush() == text


@given(st.lists(st.lists(st.integers(0, 255))))
def test_whatever_the_bytes_nothing_is_lost_or_said_twice(batches: list[list[int]]) -> None:
    detokenizer = Detokenizer(decode)
    text = "".join(detokenizer.push(batch) for batch in batches) + detokenizer.flush()
    assert text == decode([token for batch in batches for token in batch])


def test_an_unfinished_character_waits_and_comes_out_in_the_end() -> None:
    detokenizer = Detokenizer(decode)
    assert detokenizer.push(b"a\xf0\x9f") == ""
    assert detokenizer.flush() == f"a{REPLACEMENT}"
    assert detokenizer.flush() == ""
