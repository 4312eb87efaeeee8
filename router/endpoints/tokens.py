"""POST /tokenize and POST /detokenize, in vLLM's form."""

from aiohttp import web

from router.endpoints.chat import prompt_end
from router.errors import InvalidValueError
from router.http.body import read_body
from router.schema.parsing import parse_body
from router.schema.responses import Detokenized, Tokens
from router.schema.tokens import DetokenizeRequest, TokenizeRequest
from router.services import SERVICES
from router.workers.model import Model


async def tokenize(request: web.Request) -> web.Response:
    services = request.app[SERVICES]
    asked = await parse_body(TokenizeRequest, await read_body(request))
    model = services.pool.model(asked.model)
    tokens = await _tokens(asked, model)
    answer: Tokens = {
        "count": len(tokens),
        "max_model_len": model.max_sequence_length,
        "tokens": tokens,
        "token_strs": model.tokenizer.tokens(tokens) if asked.return_token_strs else None,
    }
    return web.json_response(answer)


async def detokenize(request: web.Request) -> web.Response:
    services = request.app[SERVICES]
    asked = await parse_body(DetokenizeRequest, await read_body(request))
    model = services.pool.model(asked.model)
    if max(asked.tokens, default=0) >= model.vocab_size:
        raise InvalidValueError(
            f"tokens holds {max(asked.tokens)}; this model's token ids end at {model.vocab_size - 1}.", param="tokens"
        )
    answer: Detokenized = {"prompt": model.tokenizer.decode(asked.tokens, special=True)}
    return web.json_response(answer)


async def _tokens(asked: TokenizeRequest, model: Model) -> list[int]:
    most, special = model.max_sequence_length, asked.add_special_tokens
    if asked.prompt is not None:
        return await model.tokenizer.encode_text(asked.prompt, most, "prompt", begin=special is not False)
    messages = [message.for_template() for message in asked.messages or []]
    return await model.tokenizer.encode(messages, most, prompt_end(asked), special_tokens=special is True)
