"""Defaults of a model: its authors', and those that a checkpoint publishes in generation_config.json.

That file is written by transformers, whose sampling has more to it than this server does; what asks for something and
is not done is said once, so that nobody takes it for done.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

import structlog

from textdiffusion.option_fields import DefaultFields
from worker.models.checkpoint import Checkpoint
from worker.models.spec import Family

log = structlog.get_logger(__name__)

FILE: Final = "generation_config.json"
_TEMPLATE_FILES: Final = ("chat_template.jinja", "chat_template.json")
# Values with which these options of transformers ask for nothing; so do null, false and what is empty, of any option.
_NEUTRAL: Final[Mapping[str, float]] = {
    "repetition_penalty": 1,
    "encoder_repetition_penalty": 1,
    "length_penalty": 1,
    "diversity_penalty": 0,
    "presence_penalty": 0,
    "frequency_penalty": 0,
    "typical_p": 1,
    "epsilon_cutoff": 0,
    "eta_cutoff": 0,
    "no_repeat_ngram_size": 0,
    "encoder_no_repeat_ngram_size": 0,
    "min_length": 0,
    "min_new_tokens": 0,
    "num_beams": 1,
    "num_beam_groups": 1,
    "num_return_sequences": 1,
    "guidance_scale": 1,
}
# Read elsewhere, or about how transformers runs and not about what comes out.
_SILENT: Final = frozenset(
    {
        "bos_token_id",
        "eos_token_id",
        "pad_token_id",
        "mask_token_id",
        "decoder_start_token_id",
        "transformers_version",
        "use_cache",
        "cache_implementation",
        "cache_config",
        "do_sample",
        "max_new_tokens",
        "max_length",
        "early_stopping",
        "renormalize_logits",
        "remove_invalid_values",
        "return_dict_in_generate",
        "trust_remote_code",
    }
)
_SILENT_PREFIXES: Final = ("_", "output_", "assistant_", "num_assistant_")


def authors_defaults(checkpoint: Checkpoint, family: Family) -> dict[str, Any]:
    """Return what the family's authors run such a checkpoint with; one with a chat template is tuned for chats."""
    is_chat = any(map(_has_template, (checkpoint, checkpoint.tokenizer)))
    return {**family.authors_defaults, **(family.chat_defaults if is_chat else {})}


def published_defaults(checkpoint: Checkpoint) -> dict[str, Any]:
    """Return what generation_config.json says of the options that have a default."""
    published = _given(checkpoint)
    defaults = {name: value for name, value in published.items() if name in DefaultFields.model_fields}
    if "max_new_tokens" in published:
        defaults.setdefault("max_tokens", published["max_new_tokens"])
    if defaults.get("top_k") == -1:
        defaults["top_k"] = 0
    if published.get("do_sample") is False:
        defaults["temperature"] = 0.0
    return defaults


def called_in_file(name: str, checkpoint: Checkpoint) -> str:
    """Return the file's own name for an option."""
    return "max_new_tokens" if name == "max_tokens" and "max_tokens" not in _given(checkpoint) else name


def log_unhonoured(checkpoint: Checkpoint) -> None:
    """Say once which options of generation_config.json ask for something that is not done."""
    unhonoured = dict(_unhonoured(_given(checkpoint)))
    if unhonoured:
        log.warning(
            "options of the checkpoint that this server does not know are not used", file=FILE, options=unhonoured
        )


def _has_template(files: Checkpoint) -> bool:
    declared = files.read_json("tokenizer_config.json").get("chat_template")
    return bool(declared) or any((files.folder / name).is_file() for name in _TEMPLATE_FILES)


def _given(checkpoint: Checkpoint) -> dict[str, Any]:
    return {name: value for name, value in checkpoint.read_json(FILE).items() if value is not None}


def _unhonoured(published: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in published.items():
        known = name in DefaultFields.model_fields or name in _SILENT or name.startswith(_SILENT_PREFIXES)
        asks = value not in (False, [], {}, "") and value != _NEUTRAL.get(name)
        if not known and asks:
            yield name, value
    greedy, temperature = published.get("do_sample") is False, published.get("temperature")
    if greedy and temperature not in (None, 0, 1):  # transformers fills in 1
        yield "temperature", f"{temperature}, as do_sample is false"
    if published.get("do_sample") is True and temperature is None:
        yield "do_sample", "true without a temperature"
