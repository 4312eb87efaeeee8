"""From what a client asks to what a worker is asked.

An option that the client leaves out stays absent: its default is the worker's to know.
"""

from collections.abc import Sequence

from router.errors import ContextLengthExceededError, InvalidValueError
from router.model import Model
from router.schema import ChatRequest
from textdiffusion.v1 import textdiffusion_pb2 as pb
from textdiffusion.wire import KV_CACHE, REMASKING


def job_for(chat: ChatRequest, prompt: Sequence[int], model: Model, request_id: str) -> pb.GenerateRequest:
    """Raises a `ClientError` if the prompt and the reply do not fit the model together."""
    length = _reply_length(chat, len(prompt), model)
    if chat.block_length is not None and chat.block_length > length:
        raise InvalidValueError(
            f"block_length is {chat.block_length}, more than the {length} tokens of the reply.", param="block_length"
        )
    options = pb.DiffusionOptions(
        gen_length=length,
        block_length=chat.block_length,
        steps=chat.steps,
        temperature=chat.temperature,
        top_p=chat.top_p,
        top_k=chat.top_k,
        seed=chat.seed,
        cfg_scale=chat.cfg_scale,
        max_parallel_tokens=chat.max_parallel_tokens,
        ignore_eos=chat.ignore_eos,
    )
    if chat.remasking is not None:
        options.remasking = REMASKING[chat.remasking]
    if chat.cache is not None:
        options.kv_cache = KV_CACHE[chat.cache]
    if chat.threshold is not None:
        options.threshold = chat.threshold
    if chat.factor is not None:
        options.factor = chat.factor
    return pb.GenerateRequest(request_id=request_id, prompt=pb.Tokens(ids=prompt), options=options)


def canvas_positions(job: pb.GenerateRequest) -> int:
    return len(job.prompt.ids) + job.options.gen_length


def _reply_length(chat: ChatRequest, prompt: int, model: Model) -> int:
    room = model.max_sequence_length - prompt
    if room < 1:
        raise ContextLengthExceededError(
            f"The messages are {prompt} tokens long; this model holds {model.max_sequence_length}, reply included.",
            param="messages",
        )
    if chat.reply_length is None:
        return min(model.default_length, room)
    if chat.reply_length > room:
        raise ContextLengthExceededError(
            f"The messages are {prompt} tokens long, which leaves {room} of this model's {model.max_sequence_length} "
            f"for the reply; {chat.max_tokens_field} asks for more.",
            param=chat.max_tokens_field,
        )
    return chat.reply_length
