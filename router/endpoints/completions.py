"""POST /v1/completions: from the text before, and perhaps the text after, to what stands there."""

from aiohttp import web

from router.endpoints.generation import generate
from router.jobs import Prompt
from router.replies.completion import CompletionReply
from router.schema.completions import CompletionRequest
from router.workers.model import Model


async def completions(request: web.Request) -> web.StreamResponse:
    return await generate(request, CompletionRequest, _prompts, CompletionReply)


async def _prompts(asked: CompletionRequest, model: Model) -> list[Prompt]:
    most = model.max_sequence_length
    suffix = await model.tokenizer.encode_text(asked.suffix or "", most, "suffix", begin=False)
    texts = [given for given in asked.prompt if isinstance(given, str)]
    encoded = iter(await model.tokenizer.encode_texts(texts, most, "prompt", begin=True))
    return [
        Prompt(given if isinstance(given, list) else next(encoded), "prompt", suffix_ids=suffix, continued=True)
        for given in asked.prompt
    ]
