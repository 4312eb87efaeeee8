import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.errors import BadWorkerResponseError
from router.text.frontier import CommittedFrontier
from textdiffusion.v1.textdiffusion_pb2 import CommittedToken

END = 7
IDS = st.lists(st.integers(0, 9), max_size=40)


def committed(*tokens: tuple[int, int]) -> list[CommittedToken]:
    """Given (position, id) pairs."""
    return [CommittedToken(position=position, id=token) for position, token in tokens]


@given(IDS, st.randoms(use_true_random=False), st.integers(1, 5))
def test_any_order_of_commits_is_released_in_reading_order_up_to_the_end_token(
    ids: list[int], random: object, batch: int
) -> None:
    positions = list(range(len(ids)))
    random.shuffle(positions)  # type: ignore[attr-defined]
    frontier, released, filled = CommittedFrontier([END]), [], set()
    for start in range(0, len(positions), batch):
        step = positions[start : start + batch]
        filled |= set(step)
        ready = next(position for position in range(len(ids) + 1) if position not in filled)
        tokens = committed(*((position, ids[position]) for position in step))
        released += [token.id for token in frontier.commit(tokens, ready)]
        expected = ids[:ready]
        assert released == (expected[: expected.index(END)] if END in expected else expected)
        assert frontier.released == len(released)


def test_nothing_beyond_a_masked_position_is_released() -> None:
    frontier = CommittedFrontier([END])
    assert frontier.commit(committed((1, 5), (2, 6)), ready=0) == []
    assert [token.id for token in frontier.commit(committed((0, 4)), ready=3)] == [4, 5, 6]


def test_a_worker_that_calls_a_masked_position_ready_is_not_believed() -> None:
    with pytest.raises(BadWorkerResponseError):
        CommittedFrontier([END]).commit(committed((1, 5)), ready=2)
