from typing import Any

import pytest

from router.endpoints.generation import build_call
from router.errors import ContextLengthExceededError, InvalidValueError
from router.generation.call import ChoiceRequest, Prompt, build_choice_requests
from router.schema.chat import ChatRequest
from router.text.tokenizer import ChatTokenizer
from router.workers.model import Model
from textdiffusion.v1 import textdiffusion_pb2 as pb

PROMPT = list(range(90))


async def no_prompts() -> list[Prompt]:
    return []


@pytest.fixture
def jobs(tokenizer: ChatTokenizer) -> Any:
    info = pb.GetInfoResponse(
        model_id="m", vocab_size=1000, max_sequence_length=100, defaults=pb.DiffusionOptions(gen_length=64)
    )
    model = Model.from_info(info, tokenizer, created=0)

    def make(*prompts: Prompt | list[int], **fields: Any) -> list[ChoiceRequest]:
        chat = ChatRequest(model="m", messages=[{"role": "user", "content": "x"}], **fields)
        given = [prompt if isinstance(prompt, Prompt) else Prompt(prompt, "messages") for prompt in prompts or [PROMPT]]
        call = build_call(chat, model, no_prompts, request_id="id", deadline=0.0)
        return build_choice_requests(call, given)

    return make


@pytest.fixture
def job(jobs: Any) -> Any:
    """The first one, as a worker gets it."""
    return lambda *prompts, **fields: jobs(*prompts, **fields)[0].request


def test_without_max_tokens_the_reply_takes_the_default_or_what_is_left(job: Any) -> None:
    assert job(PROMPT[:10]).options.gen_length == 64
    assert job(PROMPT).options.gen_length == 10


def test_a_reply_may_fill_the_model_to_its_last_position(jobs: Any) -> None:
    assert jobs(max_tokens=10)[0].positions == 100


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


def test_each_prompt_gets_n_jobs_in_the_order_of_the_choices(jobs: Any) -> None:
    made = jobs([1], [2], n=2, seed=7)
    assert [list(job.request.prompt.ids) for job in made] == [[1], [1], [2], [2]]
    assert [job.index for job in made] == [0, 1, 2, 3]
    assert [job.request.options.seed for job in made] == [7, 8, 7, 8]
    assert len({job.request.request_id for job in made}) == 4


def test_without_a_seed_each_choice_has_one_of_the_workers(jobs: Any) -> None:
    assert not any(job.request.options.HasField("seed") for job in jobs(n=2))


def test_the_seed_after_the_last_is_the_first(jobs: Any) -> None:
    assert [job.request.options.seed for job in jobs(n=2, seed=-1)] == [2**64 - 1, 0]


def test_what_stands_behind_the_reply_takes_room_too(job: Any) -> None:
    infilled = job(Prompt(PROMPT, "prompt", suffix_ids=[1, 2, 3]))
    assert list(infilled.suffix.ids) == [1, 2, 3]
    assert infilled.options.gen_length == 7
    with pytest.raises(ContextLengthExceededError, match="prompt and suffix"):
        job(Prompt(PROMPT, "prompt", suffix_ids=[1] * 10))


@pytest.mark.parametrize(("fields", "param"), [({}, "prompt"), ({"logit_bias": {"1000": 1}}, "logit_bias")])
def test_token_ids_beyond_the_vocabulary_are_refused(job: Any, fields: dict[str, Any], param: str) -> None:
    prompt = Prompt([999 if fields else 1000], "prompt")
    with pytest.raises(InvalidValueError, match="end at 999") as caught:
        job(prompt, **fields)
    assert caught.value.param == param


@pytest.mark.parametrize(
    ("fields", "told"), [({}, 0), ({"logprobs": True}, 1), ({"logprobs": True, "top_logprobs": 4}, 4)]
)
def test_workers_tell_of_their_tokens_only_where_log_probabilities_are_asked_for(
    job: Any, fields: dict[str, Any], told: int
) -> None:
    assert job(**fields).options.top_logprobs == told


def test_more_log_probabilities_than_a_reply_can_hold_are_refused(jobs: Any) -> None:
    assert len(jobs([1], n=128, logprobs=True, top_logprobs=20, max_tokens=97)) == 128
    with pytest.raises(InvalidValueError, match="at most 262144 are told") as caught:
        jobs([1], n=128, logprobs=True, top_logprobs=20, max_tokens=98)
    assert caught.value.param == "logprobs"


@pytest.mark.parametrize(
    ("prompt", "fields", "message"),
    [
        (Prompt([0] * 101, "messages"), {}, "messages holds 101 tokens."),
        (Prompt([0] * 100, "messages"), {}, "messages holds 100 tokens, which leaves none for the reply."),
        (Prompt([0] * 99, "prompt[1]", suffix_ids=[1]), {}, "prompt[1] and suffix hold 100 tokens, which leaves none"),
        (
            Prompt(PROMPT, "messages"),
            {"max_completion_tokens": 11},
            "messages holds 90 tokens, which leaves 10 for the reply, and max_completion_tokens asks for 11.",
        ),
    ],
)
def test_what_is_too_long_is_refused_in_words_that_programs_look_for(
    job: Any, prompt: Prompt, fields: dict[str, Any], message: str
) -> None:
    with pytest.raises(ContextLengthExceededError) as caught:
        job(prompt, **fields)
    assert caught.value.message.startswith(f"This model's maximum context length is 100 tokens. However, {message}")


def test_a_token_that_is_biased_and_does_not_exist_is_named(job: Any) -> None:
    with pytest.raises(InvalidValueError, match="logit_bias names 1000; "):
        job(logit_bias={"5": 1, "1000": 1})
