import pytest

from benchmarks.serve.client import UnusableServerError, connected
from benchmarks.serve.plan import Plan, plan_of
from benchmarks.serve.prompts import WORDS, Fit, Lengths, bodies, fit_words, lengths_of, words
from tests.integration.benchmarks.serve.server import BASE_TOKENS, TOKENS_PER_WORD, OpenAiServer, serving


async def fitted(server: OpenAiServer, plan: Plan) -> Fit | None:
    with serving(server):
        async with connected(server.url, plan.endpoint, api_key=None, seconds=30) as client:
            return await fit_words(client, plan, "first")


@pytest.mark.parametrize("arguments", [[], ["--endpoint=completions"], ["--input-len=1"]])
async def test_two_trials_find_out_how_the_server_counts(arguments: list[str]) -> None:
    server = OpenAiServer()
    assert await fitted(server, plan_of(arguments)) == Fit(base=BASE_TOKENS, per_word=TOKENS_PER_WORD)
    assert len(server.bodies) == 2
    assert not any("stream" in body for body in server.bodies)


async def test_a_server_that_does_not_count_gives_none() -> None:
    assert await fitted(OpenAiServer(counts=False), plan_of([])) is None


async def test_a_trial_that_is_refused_says_why() -> None:
    with pytest.raises(UnusableServerError, match="a trial request fails: 503 server_overloaded: busy"):
        await fitted(OpenAiServer(refuse=frozenset([-2])), plan_of([]))


async def test_a_server_that_is_not_there_is_named() -> None:
    async with connected("http://127.0.0.1:1/v1", "chat", api_key=None, seconds=30) as client:
        with pytest.raises(UnusableServerError, match=r"http://127\.0\.0\.1:1/v1/models does not answer"):
            await client.first_model()
        with pytest.raises(UnusableServerError, match="a trial request fails: cannot_connect"):
            await fit_words(client, plan_of([]), "first")


def test_a_prompt_has_as_many_words_as_make_its_tokens() -> None:
    fit = Fit(base=10, per_word=3)
    assert [fit.words(tokens) for tokens in (100, 13, 5)] == [30, 1, 1]


def test_lengths_are_those_asked_for_or_drawn_around_them() -> None:
    assert lengths_of(plan_of(["--input-len=50", "--output-len=20"]), 7) == Lengths(50, 20)
    plan = plan_of(["--input-len=100", "--output-len=10", "--range-ratio=0.5"])
    drawn = [lengths_of(plan, number) for number in range(500)]
    assert {one.input for one in drawn} <= set(range(50, 151))
    assert {one.output for one in drawn} == set(range(5, 16))
    assert drawn[:3] == [lengths_of(plan, number) for number in range(3)]
    assert drawn != [lengths_of(plan_of(["--range-ratio=0.5", "--seed=1"]), number) for number in range(500)]


def test_prompts_differ_and_are_the_same_for_the_same_seed() -> None:
    plan = plan_of(['--extra-body={"threshold": 0.9}', "--ignore-eos"])
    made = bodies(plan, "first", [Lengths(40, 8)] * 3, Fit(base=0, per_word=1))
    assert len(set(made)) == 3
    assert made == bodies(plan, "first", [Lengths(40, 8)] * 3, Fit(base=0, per_word=1))
    assert all(b'"threshold": 0.9' in body and b'"ignore_eos": true' in body for body in made)
    assert set(words(1000, "seed").split()) <= set(WORDS)
