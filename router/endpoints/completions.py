"""POST /v1/completions: from the text before, and perhaps the text after, to what stands there."""

from aiohttp import web

from router.endpoints.generation import generate
from router.errors import InvalidValueError
from router.generation.call import Prompt
from router.replies.completion import CompletionResponder
from router.schema.completions import CompletionRequest
from router.workers.model import Model


async def completions(request: web.Request) -> web.StreamResponse:
    return await generate(request, CompletionRequest, _prompts, CompletionResponder)


async def _prompts(asked: CompletionRequest, model: Model) -> list[Prompt]:
    _check_masks(asked, model)
    most = model.max_sequence_length
    suffix = await model.tokenizer.encode_text(asked.suffix or "", most, "suffix", begin=False)
    texts = {given.field: given.value for given in asked.prompt if isinstance(given.value, str)}
    longest = max(texts, key=lambda field: len(texts[field]), default="prompt")  # the one to name if it is too long
    encoded = iter(await model.tokenizer.encode_texts(list(texts.values()), most, longest, begin=True))
    return [
        Prompt(
            given.value if isinstance(given.value, list) else next(encoded),
            given.field,
            suffix_ids=suffix,
            continued=True,
        )
        for given in asked.prompt
    ]


def _check_masks(asked: CompletionRequest, model: Model) -> None:
    """Only token ids can be one: what a text spells stays text."""
    for given in asked.prompt:
        if isinstance(given.value, list) and model.mask_token_id in given.value:
            raise InvalidValueError(
                f"{given.field} must not hold the mask token, {model.mask_token_id}.", param=given.field
            )
