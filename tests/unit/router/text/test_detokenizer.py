from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from router.text.detokenizer import CONTEXT_TOKENS, REPLACEMENT, Detokenizer


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


def test_broken_characters_without_end_are_not_decoded_from_the_beginning_each_time() -> None:
    decoded = list[int]()

    def counting(ids: Sequence[int]) -> str:
        decoded.append(len(ids))
        return decode(ids)

    detokenizer, text = Detokenizer(counting), ""
    for _ in range(500):
        text += detokenizer.push([0xFF])
    assert text + detokenizer.flush() == REPLACEMENT * 500
    assert max(decoded) < 40


END = 256  # a token that has no text


def without_ends(ids: Sequence[int]) -> str:
    return decode([token for token in ids if token != END])


def test_tokens_without_text_are_not_decoded_again_each_time() -> None:
    decoded = list[int]()

    def counting(ids: Sequence[int]) -> str:
        decoded.append(len(ids))
        return without_ends(ids)

    detokenizer = Detokenizer(counting)
    text = detokenizer.push(b"a" * 2000) + "".join(detokenizer.push([END]) for _ in range(2000))
    assert text + detokenizer.push(b"b") + detokenizer.flush() == "a" * 2000 + "b"
    assert sum(decoded) < 100_000


CHARACTERS = st.characters(exclude_characters=REPLACEMENT, exclude_categories=["Cs"]).map(
    lambda one: list(one.encode())
)
ENDS = st.integers(1, 3 * CONTEXT_TOKENS).map(lambda count: [END] * count)


@given(st.lists(CHARACTERS | ENDS), st.integers(1, 5))
def test_tokens_without_text_take_none_from_those_around_them(parts: list[list[int]], batch: int) -> None:
    ids, detokenizer = [token for part in parts for token in part], Detokenizer(without_ends)
    text = "".join(detokenizer.push(ids[start : start + batch]) for start in range(0, len(ids), batch))
    assert text + detokenizer.flush() == without_ends(ids)


@given(st.text(st.characters(exclude_characters=REPLACEMENT, exclude_categories=["Cs"])), st.binary())
def test_a_text_that_is_continued_goes_on_where_it_ended(before: str, after: bytes) -> None:
    detokenizer = Detokenizer(decode, before.encode())
    text = "".join(detokenizer.push([byte]) for byte in after) + detokenizer.flush()
    assert text == decode(after)


def test_half_a_character_at_the_end_of_a_prompt_is_not_completed_in_the_reply() -> None:
    detokenizer = Detokenizer(decode, b"a\xf0\x9f")
    assert detokenizer.push(b"bc") == "bc"


def test_an_unfinished_character_waits_and_comes_out_in_the_end() -> None:
    detokenizer = Detokenizer(decode)
    assert detokenizer.push(b"a\xf0\x9f") == ""
    assert detokenizer.flush() == f"a{REPLACEMENT}"
    assert detokenizer.flush() == ""
