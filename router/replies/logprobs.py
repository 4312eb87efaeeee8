"""Log probabilities in OpenAI's two forms.

They are those of the model's own distribution in the forward pass that committed the token: what it was given then was
the prompt, and whatever else of the canvas had been committed before, to the right of it too.
"""

import math
from collections.abc import Sequence

from router.errors import BadWorkerResponseError
from router.generation.output import OutputToken
from router.schema.responses import ChatLogprobs, CompletionLogprobs, TokenLogprob
from router.text.tokenizer import ChatTokenizer
from textdiffusion.v1 import textdiffusion_pb2 as pb

LEAST = -9999.0  # what OpenAI says for a probability of next to nothing; JSON has no infinity


def chat_logprobs(tokens: Sequence[OutputToken], tokenizer: ChatTokenizer, alternatives: int) -> ChatLogprobs:
    return {
        "content": [
            {
                **token_logprob(token.committed, tokenizer),
                "top_logprobs": top_logprobs(token.committed, tokenizer, alternatives),
            }
            for token in tokens
        ],
        "refusal": None,
    }


def completion_logprobs(
    tokens: Sequence[OutputToken], tokenizer: ChatTokenizer, alternatives: int
) -> CompletionLogprobs:
    return {
        "tokens": [_named(tokenizer.token_bytes(token.committed.id)) for token in tokens],
        "token_logprobs": [_bounded(token.committed.logprob) for token in tokens],
        "top_logprobs": [_by_name(token.committed, tokenizer, alternatives) for token in tokens],
        "text_offset": [token.start for token in tokens],
    }


def top_logprobs(token: pb.CommittedToken, tokenizer: ChatTokenizer, alternatives: int) -> list[TokenLogprob]:
    return [token_logprob(one, tokenizer) for one in token.top[:alternatives]]


def token_logprob(token: pb.CommittedToken | pb.TokenLogprob, tokenizer: ChatTokenizer) -> TokenLogprob:
    text, spelled = tokenizer.spelling(token.id)
    return {"token": text, "logprob": _bounded(token.logprob), "bytes": spelled}


def _by_name(token: pb.CommittedToken, tokenizer: ChatTokenizer, alternatives: int) -> dict[str, float]:
    """The token itself, which may be none of the likeliest, and these."""
    likely: list[pb.CommittedToken | pb.TokenLogprob] = [token, *token.top[:alternatives]]
    return {_named(tokenizer.token_bytes(one.id)): _bounded(one.logprob) for one in likely}


def _named(spelled: bytes) -> str:
    """A name of its own for each token, also for those that are but a part of a character."""
    try:
        return spelled.decode()
    except UnicodeDecodeError:
        return "bytes:" + "".join(f"\\x{byte:02x}" for byte in spelled)


def _bounded(logprob: float) -> float:
    """Raises `BadWorkerResponseError` for what no logarithm of a probability is."""
    if not logprob < math.inf:
        raise BadWorkerResponseError
    return max(logprob, LEAST)
