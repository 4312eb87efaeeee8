"""Whatever the order in which tokens are committed, what is read is the same."""

import random
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from router.errors import BadWorkerResponseError
from router.generation.output import ChoiceDelta, OutputProcessor
from router.text.tokenizer import ChatTokenizer
from textdiffusion.v1 import textdiffusion_pb2 as pb

TEXTS = st.text(st.sampled_from("abw \n,ö🌍"), max_size=30)
STOPS = st.lists(st.text(st.sampled_from("abw \n,ö🌍"), min_size=1, max_size=4), max_size=3)
SHARED = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


def committed(ids: Sequence[int], position: int, step: int) -> pb.CommittedToken:
    return pb.CommittedToken(position=position, id=ids[position], step=step, logprob=-float(position))


def finished(ids: Sequence[int], steps: int, *, told: bool) -> pb.GenerateUpdate:
    response = pb.GenerateResponse(
        output=pb.Tokens(ids=ids),
        finish_reason=pb.FINISH_REASON_LENGTH,
        usage=pb.Usage(completion_tokens=len(ids), forward_passes=steps, committed_tokens=len(ids)),
        tokens=[committed(ids, position, 1) for position in range(len(ids))] if told else [],
    )
    return pb.GenerateUpdate(ready=0 if told else len(ids), finished=response)


def step_by_step(ids: Sequence[int], chance: random.Random) -> list[pb.GenerateUpdate]:
    order = chance.sample(range(len(ids)), len(ids))
    updates, filled, start = [], set[int](), 0
    while start < len(order):
        positions = order[start : start + chance.randint(1, 4)]
        start += len(positions)
        filled.update(positions)
        ready = next(position for position in range(len(ids) + 1) if position not in filled)
        step = len(updates) + 1
        updates.append(pb.GenerateUpdate(committed=[committed(ids, at, step) for at in positions], ready=ready))
    return [*updates, finished(ids, len(updates), told=False)]


def read(output: OutputProcessor, updates: Sequence[pb.GenerateUpdate]) -> list[ChoiceDelta]:
    deltas: list[ChoiceDelta] = []
    for update in updates:
        deltas.append(output.push(update))
        if deltas[-1].finish_reason:
            break
    return deltas


@SHARED
@given(text=TEXTS, stops=STOPS, seed=st.integers(0, 1000))
def test_what_is_streamed_is_what_is_told_as_a_whole(
    tokenizer: ChatTokenizer, ids: Callable[[str], list[int]], text: str, stops: list[str], seed: int
) -> None:
    token_by_token = seed % 2 == 0
    whole = read(OutputProcessor(tokenizer, [], stops, token_by_token=True), [finished(ids(text), 1, told=True)])
    output = OutputProcessor(tokenizer, [], stops, token_by_token=token_by_token)
    deltas = read(output, step_by_step(ids(text), random.Random(seed)))
    assert "".join(delta.text for delta in deltas) == whole[0].text
    assert deltas[-1].finish_reason == whole[0].finish_reason
    assert text.startswith(whole[0].text)
    assert not any(stop in whole[0].text for stop in stops)
    if token_by_token:
        tokens = [token for delta in deltas for token in delta.tokens]
        assert [(one.committed.id, one.start, one.end) for one in tokens] == [
            (one.committed.id, one.start, one.end) for one in whole[0].tokens
        ]


@SHARED
@given(text=TEXTS, stops=STOPS, seed=st.integers(0, 1000))
def test_tokens_are_told_with_the_text_that_they_are_in(
    tokenizer: ChatTokenizer, ids: Callable[[str], list[int]], text: str, stops: list[str], seed: int
) -> None:
    output, shown, begun = OutputProcessor(tokenizer, [], stops, token_by_token=True), "", 0
    for delta in read(output, step_by_step(ids(text), random.Random(seed))):
        shown += delta.text
        for token in delta.tokens:
            assert begun <= token.start <= token.end
            assert token.start < max(len(shown), 1)
            assert token.end <= len(shown) or delta.finish_reason
            begun = token.start
    spelled = b"".join(tokenizer.token_bytes(token) for token in ids(text))
    assert spelled.decode() == text


def test_a_stop_string_ends_the_count_of_tokens_where_it_ends(
    tokenizer: ChatTokenizer, ids: Callable[[str], list[int]]
) -> None:
    tokens = ids("w, w, w, w")
    output = OutputProcessor(tokenizer, [], [", w, "], token_by_token=True)
    deltas = read(output, [pb.GenerateUpdate(committed=[committed(tokens, at, 3) for at in range(10)], ready=10)])
    usage = deltas[-1].usage
    assert "".join(delta.text for delta in deltas) == "w"
    assert (usage.completion_tokens, usage.forward_passes, usage.committed_tokens) == (6, 3, 10)


def test_special_tokens_are_told_although_they_are_no_text(tokenizer: ChatTokenizer, raw_tokenizer: Any) -> None:
    ids = raw_tokenizer.encode("a<|eot_id|>b<|eot_id|>").ids
    (delta,) = read(OutputProcessor(tokenizer, [], token_by_token=True), [finished(ids, 1, told=True)])
    assert delta.text == "ab"
    assert [one.committed.id for one in delta.tokens] == ids


@pytest.mark.parametrize("reason", [pb.FINISH_REASON_UNSPECIFIED, pb.FINISH_REASON_CANCELLED])
def test_an_end_without_a_reason_that_a_client_knows_is_not_believed(tokenizer: ChatTokenizer, reason: Any) -> None:
    update = pb.GenerateUpdate(finished=pb.GenerateResponse(finish_reason=reason))
    with pytest.raises(BadWorkerResponseError):
        OutputProcessor(tokenizer, []).push(update)
