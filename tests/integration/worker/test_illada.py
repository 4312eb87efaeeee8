"""A real worker process with iLLaDA, spoken to over gRPC."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import takewhile
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2

from testing.folders import ILLADA_GOLDEN
from testing.illada import write_illada
from tests.integration.worker.test_server import await_health, start
from textdiffusion.v1 import textdiffusion_pb2 as pb
from textdiffusion.v1 import textdiffusion_pb2_grpc as rpc

CASES: list[dict[str, Any]] = json.loads((ILLADA_GOLDEN / "cases.json").read_text())
END, MASK = 2, 5


@pytest.fixture(scope="module")
def stub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[rpc.TextGenerationServiceStub]:
    folder = tmp_path_factory.mktemp("illada")
    address = f"unix:{folder}/worker.sock"
    process = start(f"--model={write_illada(folder)}", f"--listen={address}", "--dtype=float32", "--device=cpu")
    try:
        with grpc.insecure_channel(address) as channel:
            await_health(channel, health_pb2.HealthCheckResponse.SERVING)
            yield rpc.TextGenerationServiceStub(channel)
    finally:
        process.kill()
        process.communicate()


def request_of(case: dict[str, Any], *, ignore_eos: bool) -> pb.GenerateRequest:
    options = pb.DiffusionOptions(
        gen_length=case["gen_length"],
        block_length=case["block_length"],
        steps_per_block=case["steps_per_block"],
        canvas=pb.Canvas.Value(f"CANVAS_{case['canvas'].upper()}"),
        cfg_scale=case["cfg_scale"],
        end_of_thinking_ids=case["think_end_ids"],
        end_of_thinking_boost=case["think_end_boost"],
        end_of_thinking_power=case["think_end_power"],
        ignore_eos=ignore_eos,
    )
    return pb.GenerateRequest(prompt=pb.Tokens(ids=case["prompt_ids"]), options=options)


@pytest.mark.parametrize("ignore_eos", [False, True])
def test_every_golden_case_gives_its_tokens_in_no_more_passes(
    stub: rpc.TextGenerationServiceStub, ignore_eos: bool
) -> None:
    differing = []
    with ThreadPoolExecutor(16) as clients:
        requests = [request_of(case, ignore_eos=ignore_eos) for case in CASES]
        for case, answer in zip(CASES, clients.map(lambda one: stub.Generate(one, timeout=120), requests), strict=True):
            expected = case["output_ids"]
            if not ignore_eos:
                expected = list(takewhile(lambda token: token != END, expected))
            same = list(answer.output.ids)[: len(case["output_ids"])] == expected
            stopped_early = len(case["output_ids"]) < case["gen_length"] and (
                ignore_eos or END not in case["output_ids"]
            )
            if not same or (answer.usage.forward_passes > case["nfe"] and not stopped_early):
                differing.append(case)
    assert differing == []


def test_it_tells_its_family_and_what_its_authors_run_it_with(stub: rpc.TextGenerationServiceStub) -> None:
    info = stub.GetInfo(pb.GetInfoRequest(), timeout=60)
    defaults = info.defaults
    assert (info.family, info.model_type, info.mask_token_id, list(info.eos_token_ids)) == (
        "illada",
        "illada",
        MASK,
        [END],
    )
    assert (defaults.canvas, defaults.block_length, defaults.steps_per_block) == (pb.CANVAS_GROW, 32, 32)
    assert (defaults.end_of_thinking_boost, defaults.end_of_thinking_power) == (100, 3)
    assert (defaults.gen_length, defaults.kv_cache) == (2048, pb.KV_CACHE_NONE)
    assert not defaults.HasField("threshold")
    assert not defaults.HasField("steps")


def test_a_canvas_is_seen_growing_block_by_block(stub: rpc.TextGenerationServiceStub) -> None:
    options = pb.DiffusionOptions(gen_length=20, block_length=8, steps_per_block=2, ignore_eos=True)
    request = pb.GenerateRequest(prompt=pb.Tokens(ids=[7, 8, 9]), options=options, report_canvas=True)
    *updates, last = stub.GenerateStream(request, timeout=60)
    assert [len(update.canvas.ids) for update in updates] == [8, 16, 16, 20, 20, 20]
    assert [update.ready for update in updates[1::2]] == [8, 16, 20]
    assert last.finished.finish_reason == pb.FINISH_REASON_LENGTH


@pytest.mark.parametrize(
    ("request_", "problem"),
    [
        (pb.GenerateRequest(prompt=pb.Tokens(ids=[7, MASK])), "prompt: must not hold the mask token"),
        (
            pb.GenerateRequest(suffix=pb.Tokens(ids=[7]), options=pb.DiffusionOptions(canvas=pb.CANVAS_GROW)),
            "canvas: is grow, which does not go with suffix",
        ),
        (
            pb.GenerateRequest(options=pb.DiffusionOptions(canvas=pb.CANVAS_GROW, cfg_scale=1.0)),
            "canvas: is grow, which does not go with cfg_scale",
        ),
    ],
)
def test_what_cannot_be_run_is_refused_by_its_field(
    stub: rpc.TextGenerationServiceStub, request_: pb.GenerateRequest, problem: str
) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        stub.Generate(request_, timeout=60)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert caught.value.details().startswith(problem)


@pytest.mark.parametrize("call", ["Score", "Choose", "Embed"])
def test_calls_of_the_contract_that_are_not_built_say_so(stub: rpc.TextGenerationServiceStub, call: str) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        getattr(stub, call)(getattr(pb, f"{call}Request")(), timeout=60)
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
