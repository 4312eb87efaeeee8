from collections.abc import Callable
from typing import Any

import pytest

from router.errors import BadWorkerResponseError
from router.generation.output import OutputToken
from router.replies.logprobs import LEAST, chat_logprobs, completion_logprobs
from router.text.tokenizer import ChatTokenizer
from textdiffusion.v1 import textdiffusion_pb2 as pb

NAN, INFINITY = float("nan"), float("inf")
FORMS = pytest.mark.parametrize("logprobs_of", [chat_logprobs, completion_logprobs])


def read(logprob: float, *top: float) -> list[OutputToken]:
    alternatives = [pb.TokenLogprob(id=rank, logprob=one) for rank, one in enumerate(top)]
    return [OutputToken(pb.CommittedToken(id=0, logprob=logprob, top=alternatives), 0, 1)]


@FORMS
@pytest.mark.parametrize("tokens", [read(NAN), read(INFINITY), read(-1.0, -1.0, NAN)])
def test_what_is_no_log_probability_is_the_worker_s_mistake(
    tokenizer: ChatTokenizer, logprobs_of: Callable[..., Any], tokens: list[OutputToken]
) -> None:
    with pytest.raises(BadWorkerResponseError):
        logprobs_of(tokens, tokenizer, 2)


def test_a_probability_of_nothing_is_told_as_the_least(tokenizer: ChatTokenizer) -> None:
    (told,) = chat_logprobs(read(-INFINITY), tokenizer, 0)["content"]
    assert told["logprob"] == LEAST


def test_a_token_is_spelled_once_however_often_it_is_told(tokenizer: ChatTokenizer) -> None:
    first, second = chat_logprobs(read(-1.0, -1.0) * 2, tokenizer, 1)["content"]
    assert first["bytes"] is second["bytes"] is first["top_logprobs"][0]["bytes"]
    assert bytes(first["bytes"]) == tokenizer.token_bytes(0)
    assert first["token"] == tokenizer.token_bytes(0).decode()
