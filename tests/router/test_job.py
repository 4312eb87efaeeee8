from typing import Any

import pytest

from router.errors import ContextLengthExceededError, InvalidValueError
from router.job import canvas_positions, job_for
from router.model import Model
from router.schema import ChatRequest
from router.tokenizer import ChatTokenizer
from textdiffusion.v1 import textdiffusion_pb2 as pb

PROMPT = list(range(90))


@pytest.fixture
def job(tokenizer: ChatTokenizer) -> Any:
    info = pb.GetInfoResponse(model_id="m", max_sequence_length=100, defaults=pb.DiffusionOptions(gen_length=64))
    model = Model.from_info(info, tokenizer, created=0)

    def make(prompt: list[int] = PROMPT, **fields: Any) -> pb.GenerateRequest:
        chat = ChatRequest(model="m", messages=[{"role": "user", "content": "x"}], **fields)
        return job_for(chat, prompt, model, "id")

    return make


def test_without_max_tokens_the_reply_takes_the_default_or_what_is_left(job: Any) -> None:
    assert job(PROMPT[:10]).options.gen_length == 64
    assert job(PROMPT).options.gen_length == 10


def test_a_reply_may_fill_the_model_to_its_last_position(job: Any) -> None:
    assert canvas_positions(job(max_tokens=10)) == 100


@pytest.mark.parametrize("field", ["max_tokens", "max_completion_tokens"])
def test_a_reply_that_does_not_fit_is_refused_by_the_name_the_client_used(job: Any, field: str) -> None:
    with pytest.raises(ContextLengthExceededError) as caught:
        job(**{field: 11})
    assert caught.value.param == field


def test_a_prompt_that_leaves_no_room_is_refused(job: Any) -> None:
    with pytest.raises(ContextLengthExceededError) as caught:
        job([0] * 100)
    assert caught.value.param == "messages"


def test_a_block_longer_than_the_reply_is_refused(job: Any) -> None:
    with pytest.raises(InvalidValueError) as caught:
        job(max_tokens=8, block_length=9)
    assert caught.value.param == "block_length"


def test_a_threshold_of_zero_is_not_an_absent_one(job: Any) -> None:
    assert job(threshold=0).options.WhichOneof("parallel") == "threshold"
    assert job(steps=4).options.WhichOneof("parallel") is None


def test_diffusion_options_arrive_under_their_own_names(job: Any) -> None:
    options = job(factor=1.5, cfg_scale=0.5, max_parallel_tokens=4, kv_cache="prefix", remasking="entropy").options
    assert (options.factor, options.cfg_scale, options.max_parallel_tokens) == (1.5, 0.5, 4)
    assert (options.kv_cache, options.remasking) == (pb.KV_CACHE_PREFIX, pb.REMASKING_ENTROPY)
    assert job(use_dual_cache=True).options.kv_cache == pb.KV_CACHE_DUAL
    left_out = job().options
    assert not left_out.HasField("cfg_scale")
    assert not left_out.HasField("max_parallel_tokens")
