"""GET /v1/models: what a client may put in "model"."""

from aiohttp import web

from router.schema.responses import ModelCard, ModelList
from router.services import SERVICES
from router.workers.model import Model


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
    }
