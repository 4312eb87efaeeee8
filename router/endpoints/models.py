"""GET /v1/models: what a client may put in "model"."""

from typing import Any, Final

from aiohttp import web

from router.schema.responses import GenerationDefaults, ModelCard, ModelList
from router.services import SERVICES
from router.workers.model import Model
from textdiffusion.generation_options import OPTIONS
from textdiffusion.v1.textdiffusion_pb2 import DiffusionOptions
from textdiffusion.wire import read_options

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
        "family": model.family,
        "defaults": _defaults(model.defaults),
        "options": [option.name for option in OPTIONS.values() if option.is_known_to(model.family)],
    }


def _defaults(message: DiffusionOptions) -> GenerationDefaults:
    told = read_options(message)
    return {option.name: _rounded(told.get(option.name)) for option in OPTIONS.values() if option.has_default}


def _rounded(value: Any) -> Any:
    return round(value, DIGITS) if isinstance(value, float) else value
