"""Requests as they look, and what the bundled demo model answers to them."""

from typing import Any, Final

from router.schema.responses import Json
from textdiffusion.generation_options import OPTIONS

MODEL_ID: Final = "tdi-demo"
CREATED: Final = 1767225600
SPELL_RIVER: Final = (436, 438, 319, 439, 323, 290, 220, 81, 72, 85, 68, 81, 440, 438, 304, 439, 323)


def _ask(**fields: Any) -> Json:
    return {"model": MODEL_ID, **fields}


def _conversation(text: str) -> list[Json]:
    return [{"role": "user", "content": text}]


def _usage(prompt: int, completion: int, forward_passes: int, committed: int) -> Json:
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": {
            "text_tokens": prompt,
            "cached_tokens": 0,
            "cache_write_tokens": 0,
            "audio_tokens": 0,
            "image_tokens": 0,
        },
        "completion_tokens_details": {
            "text_tokens": completion,
            "reasoning_tokens": 0,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
            "forward_passes": forward_passes,
            "committed_tokens": committed,
        },
    }


def _reply(reply_id: str, kind: str, choice: Json, **fields: Any) -> Json:
    return {
        "id": reply_id,
        "object": kind,
        "created": CREATED,
        "model": MODEL_ID,
        "system_fingerprint": "fp_9b873e2bcc",
        "choices": [{"index": 0, **choice}],
        **fields,
    }


CHAT: Final = {
    "a question": _ask(messages=_conversation("Spell river")),
    "streamed, with the canvas as it denoises": _ask(
        messages=_conversation("Count to 7"), stream=True, diffusing=True, max_tokens=32, block_length=8, steps=16
    ),
    "sampled, with log probabilities": _ask(
        messages=_conversation("My name is Ada."), temperature=0.7, seed=7, n=2, logprobs=True, top_logprobs=2
    ),
}
CHAT_REPLY: Final = _reply(
    "chatcmpl-936f16d4fde681215e53cd7809dad625",
    "chat.completion",
    {
        "message": {"role": "assistant", "content": "r-i-v-e-r", "refusal": None},
        "logprobs": None,
        "finish_reason": "stop",
    },
    usage=_usage(17, 9, 1, 32),
)
CHAT_CHUNK: Final = _reply(
    "chatcmpl-936f16d4fde681215e53cd7809dad625",
    "chat.completion.chunk",
    {"delta": {"content": "r-i-v-e-r"}, "logprobs": None, "finish_reason": None},
)

COMPLETION: Final = {
    "infilling: a conversation as token ids, and how the reply ends": _ask(
        prompt=list(SPELL_RIVER), suffix="-e-r", max_tokens=5
    ),
    "several texts, echoed": _ask(prompt=["Hello", "Good morning"], max_tokens=16, echo=True),
}
COMPLETION_REPLY: Final = _reply(
    "cmpl-53f6bcbf5c0a2e77b1c2b5c9d7f0a1e4",
    "text_completion",
    {"text": "r-i-v", "logprobs": None, "finish_reason": "length"},
    usage=_usage(21, 5, 1, 5),
)
COMPLETION_CHUNK: Final = _reply(
    "cmpl-53f6bcbf5c0a2e77b1c2b5c9d7f0a1e4",
    "text_completion",
    {"text": "r-i-v", "logprobs": None, "finish_reason": None},
)

TOKENIZE: Final = {
    "a conversation": _ask(messages=_conversation("Spell river")),
    "a text": _ask(prompt="Spell river"),
}
TOKENS: Final = {
    "count": len(SPELL_RIVER),
    "max_model_len": 1024,
    "tokens": list(SPELL_RIVER),
    "token_strs": None,
}
DETOKENIZE: Final = {"token ids": _ask(tokens=[290, 220, 81, 72, 85, 68, 81])}

MODEL: Final = {
    "id": MODEL_ID,
    "object": "model",
    "created": CREATED,
    "owned_by": "text-diffusion-inference",
    "max_model_len": 1024,
    "family": "llada",
    "defaults": {
        **{option.name: None for option in OPTIONS.values() if option.has_default},
        "max_tokens": 128,
        "canvas": "fixed",
        "block_length": 32,
        "threshold": 0.9,
        "min_parallel_tokens": 1,
        "remasking": "low_confidence",
        "kv_cache": "dual",
        "cfg_scale": 0.0,
        "temperature": 0.0,
        "top_p": 1.0,
        "top_k": 0,
        "min_p": 0.0,
        "min_tokens": 0,
    },
    "options": [option.name for option in OPTIONS.values() if option.is_known_to("llada")],
}
WORKER_ADDRESS: Final = "127.0.0.1:50051"
HEALTH: Final = {
    "status": "ready",
    "reason": None,
    "requests": {"running": 1, "waiting": 0},
    "models": [{"id": MODEL_ID, "ready": True, "workers": [WORKER_ADDRESS]}],
    "workers": [
        {
            "address": WORKER_ADDRESS,
            "model": MODEL_ID,
            "device": "cpu",
            "state": "serving",
            "reason": None,
            "outstanding_positions": 145,
        }
    ],
    "launcher": None,
}
