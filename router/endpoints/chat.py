"""POST /v1/chat/completions: from messages to a reply."""

from aiohttp import web

from router.endpoints.generation import generate
from router.jobs import Prompt
from router.replies.chat import ChatReply
from router.schema.chat import ChatRequest
from router.workers.model import Model


async def chat_completions(request: web.Request) -> web.StreamResponse:
    return await generate(request, ChatRequest, _prompts, ChatReply)


async def _prompts(asked: ChatRequest, model: Model) -> list[Prompt]:
    messages = [message.for_template() for message in asked.messages]
    return [Prompt(await model.tokenizer.encode(messages, model.max_sequence_length), "messages")]
