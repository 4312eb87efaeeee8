"""GET /v1/models: what a client may put in "model"."""

from typing import Any

from aiohttp import web

from router.errors import ModelNotFoundError
from router.model import Model
from router.services import SERVICES


async def list_models(request: web.Request) -> web.Response:
    models = request.app[SERVICES].pool.models.values()
    return web.json_response({"object": "list", "data": [_card(model) for model in models]})


async def retrieve_model(request: web.Request) -> web.Response:
    name = request.match_info["id"]
    model = request.app[SERVICES].pool.models.get(name)
    if model is None:
        raise ModelNotFoundError(f"There is no model {name!r:.200}.", param="model")
    return web.json_response(_card(model))


def _card(model: Model) -> dict[str, Any]:
    return {
        "id": model.id,
        "object": "model",
        "created": model.created,
        "owned_by": "text-diffusion-inference",
        "max_model_len": model.max_sequence_length,
    }
