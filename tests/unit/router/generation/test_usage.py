from openai.types import CompletionUsage
from openai.types.completion_usage import CompletionTokensDetails, PromptTokensDetails

from router.generation.usage import Usage, total

ONE = Usage(prompt_tokens=5, completion_tokens=3, forward_passes=2, committed_tokens=8)


def test_usage_adds_up() -> None:
    assert total([ONE, ONE]) == Usage(prompt_tokens=10, completion_tokens=6, forward_passes=4, committed_tokens=16)
    assert total([]) == Usage()


def test_every_detail_that_openai_s_client_has_a_name_for_is_a_number() -> None:
    usage = CompletionUsage.model_validate(ONE.as_object())
    assert usage.total_tokens == 8
    assert usage.completion_tokens_details
    named = usage.completion_tokens_details.model_dump(include=set(CompletionTokensDetails.model_fields))
    assert all(isinstance(count, int) for count in named.values())
    assert sum(named.values()) == usage.completion_tokens
    assert usage.completion_tokens_details.model_extra == {"forward_passes": 2, "committed_tokens": 8}


def test_every_detail_of_the_prompt_that_openai_s_client_has_a_name_for_is_a_number() -> None:
    details = ONE.as_object()["prompt_tokens_details"]
    assert set(details) == set(PromptTokensDetails.model_fields)
    assert details["cached_tokens"] == 0
    assert sum(details.values()) == ONE.prompt_tokens
