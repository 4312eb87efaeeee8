import math

import pytest

from benchmarks.serve.plan import plan_of


def test_without_arguments_a_hundred_requests_come_at_once() -> None:
    plan = plan_of([])
    assert (plan.num_prompts, plan.request_rate, plan.duration) == (100, math.inf, math.inf)
    assert (plan.stream, plan.endpoint, plan.max_concurrency, plan.model) == (True, "chat", None, None)


def test_a_duration_bounds_the_requests_in_place_of_their_number() -> None:
    plan = plan_of(["--request-rate=5", "--duration=2.5"])
    assert (plan.num_prompts, plan.duration) == (None, 2.5)
    both = plan_of(["--request-rate=5", "--duration=2.5", "--num-prompts=3"])
    assert (both.num_prompts, both.duration) == (3, 2.5)


def test_fields_and_thresholds_are_read() -> None:
    plan = plan_of(['--extra-body={"threshold": 0.9, "kv_cache": "dual"}', "--goodput=ttft:500,e2el:2000"])
    assert plan.extra_body == {"threshold": 0.9, "kv_cache": "dual"}
    assert plan.goodput == {"ttft": 500, "e2el": 2000}


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ("--request-rate=0", "--request-rate: must be a number, more than 0 (or inf), not '0'"),
        ("--request-rate=nan", "not 'nan'"),
        ("--request-rate=-inf", "not '-inf'"),
        ("--request-rate=fast", "not 'fast'"),
        ("--burstiness=inf", "--burstiness: must be a number, more than 0, not 'inf'"),
        ("--max-concurrency=0", "--max-concurrency: must be a whole number, at least 1, not '0'"),
        ("--num-prompts=1.5", "--num-prompts: must be a whole number, at least 1, not '1.5'"),
        ("--num-prompts=-1", "not '-1'"),
        ("--duration=0", "--duration: must be a number, more than 0, not '0'"),
        ("--duration=5", "--duration alone bounds no load that comes all at once"),
        ("--input-len=0", "--input-len: must be a whole number"),
        ("--range-ratio=1", "--range-ratio: must be a number, at least 0 and less than 1, not '1'"),
        ("--url=localhost:3001", "--url: must be like http://127.0.0.1:3001/v1, not 'localhost:3001'"),
        ("--url=http:///v1", "--url: must be like"),
        ("--url=http://127.0.0.1:http/v1", "--url: must be like"),
        ("--url=http://[::1/v1", "--url: must be like"),
        ("--output=run.txt", "--output: must be the name of a .json file, not 'run.txt'"),
        ("--output=/", "--output: must be the name of a .json file"),
        (f"--output={__file__}/run.json", "--output: cannot be in"),
        ("--plot=run.jpeg", "--plot: must be the name of a .png file, not 'run.jpeg'"),
        ("--extra-body={", "--extra-body: is not JSON"),
        ("--extra-body=[1]", "--extra-body: must be a JSON object"),
        ('--extra-body={"stream":true}', "must not hold 'stream': that is what --no-stream is for"),
        ('--extra-body={"max_tokens":5}', "must not hold 'max_tokens': that is what --output-len is for"),
        ("--goodput=tpot:5", "must be like ttft:500,e2el:2000; there is no 'tpot'"),
        ("--goodput=ttft", "--goodput: must be a number, more than 0, not ''"),
        ("--goodput=ttft:-5", "not '-5'"),
        ("--goodput=ttft:500 --no-stream", "--goodput ttft needs a stream"),
        ("--endpoint=embeddings", "--endpoint: invalid choice"),
        ("--unknown", "unrecognized arguments: --unknown"),
    ],
)
def test_arguments_that_make_no_sense_are_refused_in_a_sentence(
    arguments: str, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        plan_of(arguments.split())
    assert told in capsys.readouterr().err
