"""GET /v1/models: what a client may put in "model"."""

from collections.abc import Mapping
from typing import Any, Final

from aiohttp import web

from router.schema.responses import GenerationDefaults, ModelCard, ModelList
from router.services import SERVICES
from router.workers.model import Model
from textdiffusion.v1.textdiffusion_pb2 import DiffusionOptions
from textdiffusion.wire import KV_CACHE, REMASKING

DIGITS: Final = 6  # numbers come as 32-bit floats; with more digits 0.9 would be 0.8999999762


async def list_models(request: web.Request) -> web.Response:
    models = request.app[SERVICES].pool.models.values()
    listed: ModelList = {"object": "list", "data": [_card(model) for model in models]}
    return web.json_response(listed)


async def retrieve_model(request: web.Request) -> web.Response:
    return web.json_response(_card(request.app[SERVICES].pool.model(request.match_info["id"])))


def _card(model: Model) -> ModelCard:
    return {
        "id": model.id,
        "object": "model",
        "created": model.created,
        "owned_by": "text-diffusion-inference",
        "max_model_len": model.max_sequence_length,
        "defaults": _defaults(model.defaults),
    }


def _defaults(options: DiffusionOptions) -> GenerationDefaults:
    told = {field.name: value for field, value in options.ListFields()}

    def number(name: str) -> Any:
        value = told.get(name)
        return round(value, DIGITS) if isinstance(value, float) else value

    return {
        "max_tokens": options.gen_length,
        "block_length": number("block_length"),
        "steps": number("steps"),
        "threshold": number("threshold"),
        "factor": number("factor"),
        "max_parallel_tokens": number("max_parallel_tokens"),
        "kv_cache": _name_of(options.kv_cache, KV_CACHE),
        "remasking": _name_of(options.remasking, REMASKING),
        "cfg_scale": number("cfg_scale"),
        "temperature": number("temperature"),
        "top_p": number("top_p"),
        "top_k": number("top_k"),
    }


def _name_of(number: int, names: Mapping[str, int]) -> Any:
    """None for what a worker leaves unspecified."""
    return next((name for name, known in names.items() if known == number), None)
