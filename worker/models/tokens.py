"""The token ids that decoding has to know: the mask, and what ends a reply."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import structlog
from tokenizers import Tokenizer

from worker.models.checkpoint import Checkpoint, CheckpointError

log = structlog.get_logger(__name__)

MASK_TOKEN = "<|mdm_mask|>"  # noqa: S105 - a token of text
END_OF_TURN_TOKEN = "<|eot_id|>"  # noqa: S105 - a token of text
GENERATION_CONFIG = "generation_config.json"


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """The tokens that a tokenizer's files name, with their ids, and the one that it calls its end token."""

    ids: Mapping[str, int]
    eos_token: str | None

    @classmethod
    def read(cls, checkpoint: Checkpoint) -> "Vocabulary":
        files = checkpoint.tokenizer
        tokenizer, config = files.read_json("tokenizer.json"), files.read_json("tokenizer_config.json")
        model = tokenizer.get("model")
        ids = dict(_model_tokens(model if isinstance(model, dict) else {}))
        ids.update(_declared_tokens(config.get("added_tokens_decoder")))
        ids.update(_added_tokens(tokenizer.get("added_tokens")))
        declared = config.get("eos_token") or files.read_json("special_tokens_map.json").get("eos_token")
        return cls(ids, _content(declared))

    def spell(self, token_id: int) -> str | None:
        """Return the token with this id; none if the files do not name it."""
        return next((token for token, number in self.ids.items() if number == token_id), None)


def mask_token_id(
    checkpoint: Checkpoint,
    config: Mapping[str, Any],
    vocabulary: Vocabulary,
    vocab_size: int,
    of_family: int | None = None,
) -> int:
    """Return what config.json says, else the family's, else the tokenizer's mask. Raises `CheckpointError`."""
    mask = config.get("mask_token_id")
    if mask is None:
        mask = vocabulary.ids.get(MASK_TOKEN) if of_family is None else of_family
    if mask is None or not _is_token_id(mask, vocab_size):
        raise CheckpointError(f"{checkpoint.source}: config.json: mask_token_id is {mask!r}, not a token id")
    return int(mask)


def end_token_ids(
    checkpoint: Checkpoint, config: Mapping[str, Any], vocabulary: Vocabulary, vocab_size: int
) -> tuple[int, ...]:
    """Return all that the files call an end token, and the end of a turn, with which tuned models close a reply.

    Fine-tuning often leaves one of the files as it was, so none of them is right alone. Raises `CheckpointError` for
    what is no token id in config.json; in the other files such an id only ends nothing.
    """
    configured = _as_list(config.get("eos_token_id"))
    for token in configured:
        if not _is_token_id(token, vocab_size):
            raise CheckpointError(f"{checkpoint.source}: config.json: eos_token_id is {token!r}, not a token id")
    published = _as_list(checkpoint.read_json(GENERATION_CONFIG).get("eos_token_id"))
    named = [vocabulary.ids.get(token) for token in (vocabulary.eos_token, END_OF_TURN_TOKEN) if token]
    others = [token for token in (*published, *named) if token is not None]
    unusable = [token for token in others if not _is_token_id(token, vocab_size)]
    if unusable:
        log.warning("end tokens that are not in the model's vocabulary are not used", ids=unusable)
    return tuple(sorted({*configured, *(token for token in others if token not in unusable)}))


def encode(checkpoint: Checkpoint, text: str, vocab_size: int) -> tuple[int, ...]:
    """Return the tokens of plain text, without special ones; none, with a warning, if no tokenizer can tell them."""
    file = checkpoint.tokenizer.folder / "tokenizer.json"
    try:
        ids = tuple(Tokenizer.from_file(str(file)).encode(text, add_special_tokens=False).ids)
    except Exception as error:  # noqa: BLE001 - it raises nothing more special
        log.warning("the tokenizer cannot be read, so this text has no tokens", text=text, reason=str(error))
        return ()
    if not all(_is_token_id(token, vocab_size) for token in ids):
        log.warning("the model's vocabulary does not have the tokens of this text", text=text, ids=list(ids))
        return ()
    return ids


def log_end_tokens(ids: tuple[int, ...], vocabulary: Vocabulary) -> None:
    """Say once which tokens end a reply; without any, every reply is as long as its canvas."""
    if ids:
        log.info("end tokens", ids=list(ids), tokens=[vocabulary.spell(token) for token in ids])
    else:
        log.warning(
            "no end token is known, so every reply fills its canvas", remedy=f"eos_token_id in {GENERATION_CONFIG}"
        )


def _as_list(value: Any) -> list[Any]:
    if value is None:
        return []
    return value if isinstance(value, list) else [value]


def _is_token_id(value: Any, vocab_size: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < vocab_size


def _content(token: Any) -> str | None:
    """Return the text of a token that is a string or, as AddedToken is saved, an object."""
    content = token.get("content") if isinstance(token, dict) else token
    return content if isinstance(content, str) else None


def _model_tokens(model: Mapping[str, Any]) -> Iterator[tuple[str, int]]:
    """Yield the vocabulary itself: a mapping, or in a unigram model a list of pairs."""
    tokens = model.get("vocab")
    if isinstance(tokens, dict):
        yield from ((token, number) for token, number in tokens.items() if isinstance(number, int))
    elif isinstance(tokens, list):
        for number, entry in enumerate(tokens):
            if isinstance(entry, list) and entry and isinstance(entry[0], str):
                yield entry[0], number


def _declared_tokens(decoder: Any) -> Iterator[tuple[str, int]]:
    for number, token in decoder.items() if isinstance(decoder, dict) else ():
        content = _content(token)
        if content is not None and number.isdecimal():
            yield content, int(number)


def _added_tokens(added: Any) -> Iterator[tuple[str, int]]:
    for entry in added if isinstance(added, list) else ():
        content, number = (_content(entry), entry.get("id")) if isinstance(entry, dict) else (None, None)
        if content is not None and isinstance(number, int):
            yield content, number
