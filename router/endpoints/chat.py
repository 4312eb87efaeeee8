"""POST /v1/chat/completions: from messages to a reply."""

from aiohttp import web

from router.endpoints.generation import generate
from router.generation.call import Prompt
from router.replies.chat import ChatResponder
from router.schema.chat import ChatRequest
from router.schema.prompt import PromptRequest
from router.text.chat_template import PromptEnd
from router.workers.model import Model


async def chat_completions(request: web.Request) -> web.StreamResponse:
    return await generate(request, ChatRequest, _prompts, ChatResponder)


def prompt_end(asked: PromptRequest) -> PromptEnd:
    """Return how the prompt of a conversation is to end."""
    return PromptEnd(generation_prompt=asked.add_generation_prompt is not False, continues=asked.continue_final_message)


async def _prompts(asked: ChatRequest, model: Model) -> list[Prompt]:
    messages = [message.for_template() for message in asked.messages]
    ids = await model.tokenizer.encode(messages, model.max_sequence_length, prompt_end(asked))
    return [Prompt(ids, "messages", continued=asked.continue_final_message)]
