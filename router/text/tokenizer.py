"""Turns conversations and texts into token ids, and token ids into text.

What a user writes is text, even where it spells a special token: a mask token let in from a message would be a position
to denoise, an end token would end a turn that nobody ended. So a conversation that spells one takes the long way: while
the chat template is rendered a stand-in takes its place; the special tokens found afterwards are the template's own and
become their ids, and the text between them is encoded by a tokenizer that knows no special tokens. `chat_template.py`
does the rendering.
"""

import asyncio
import contextlib
import json
import os
import re
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import structlog
from tokenizers import Tokenizer

from router.errors import ContextLengthExceededError, InvalidValueError
from router.text.chat_template import REPLY_FOLLOWS, ChatTemplate, PromptEnd, chat_template_of, new_marker
from router.text.template_trial import ChatTemplateError, Message
from textdiffusion.fingerprint import TOKENIZER_FILES, tokenizer_fingerprint
from textdiffusion.wire import context_length_exceeded

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

log = structlog.get_logger(__name__)

Render = Callable[[Sequence[Message]], str]

INLINE_CHARACTERS = 2_000  # of one request; encoded on the event loop in well under a millisecond
CHARACTERS_OF_A_CALL = 100  # cost as much as a text or a message does besides its length
ANY_TEXT = "a"
WRITTEN = ("content", "name")  # the fields of a message that a user fills in freely


class TokenizerUnavailableError(Exception):
    """The tokenizer that a worker names cannot be loaded."""


class ChatTokenizer:
    """One model's tokenizer and chat template."""

    def __init__(
        self,
        tokenizer: "PreTrainedTokenizerFast",
        fingerprint: str,
        control_ids: Collection[int] = (),
        template: ChatTemplate | None = None,
    ) -> None:
        self.fingerprint = fingerprint
        self._template = template
        self._tokenizer: Tokenizer = tokenizer.backend_tokenizer
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        state = json.loads(self._tokenizer.to_str())
        special = [token for token in state["added_tokens"] if token["special"] or token["id"] in control_ids]
        self._special: dict[str, int] = {token["content"]: token["id"] for token in special}
        self._any_special = re.compile(
            "|".join(map(re.escape, sorted(self._special, key=len, reverse=True))) or r"(?!)"
        )
        self._plain = _without(special, state)
        self._longest_token = _longest_token(state)
        self._spelled: dict[int, bytes] = {}
        self._spellings: dict[int, tuple[str, list[int]]] = {}
        self._byte_level = _byte_alphabet() if _is_byte_level(state) else None

    async def encode(
        self,
        messages: Sequence[Message],
        max_tokens: int,
        end: PromptEnd = REPLY_FOLLOWS,
        *,
        special_tokens: bool = False,
    ) -> list[int]:
        """Return the prompt of a conversation; with `special_tokens` also those that other texts begin with.

        Raises `ContextLengthExceededError`, without encoding it, if it is surely longer than `max_tokens`.
        """
        characters = sum(len(message["content"].strip()) for message in messages)
        self._check_length(characters, max_tokens, "messages")

        def encode(*, bounded: bool) -> list[int]:
            ids = self._encode(messages, lambda given: self._render(given, end, bounded=bounded), max_tokens)
            return self._with_special_tokens(ids) if special_tokens else ids

        if _is_short(sum(len(message["content"]) for message in messages), len(messages)):  # blanks cost time as well
            return encode(bounded=False)
        return await asyncio.to_thread(lambda: encode(bounded=True))

    async def encode_text(self, text: str, max_tokens: int, param: str, *, begin: bool) -> list[int]:
        """The ids of a text; with `begin` those of a prompt, which may begin with special tokens.

        Raises `ContextLengthExceededError` for the field `param`, as `encode` does.
        """
        (ids,) = await self.encode_texts([text], max_tokens, param, begin=begin)
        return ids

    async def encode_texts(self, texts: Sequence[str], max_tokens: int, param: str, *, begin: bool) -> list[list[int]]:
        """The ids of each text of one request, as `encode_text` gives them."""
        self._check_length(max(map(len, texts), default=0), max_tokens, param)

        def encode() -> list[list[int]]:
            return [self._encode_text(text, begin=begin) for text in texts]

        return encode() if _is_short(sum(map(len, texts)), len(texts)) else await asyncio.to_thread(encode)

    def tokens(self, ids: Sequence[int]) -> list[str]:
        """Return each token as the vocabulary spells it."""
        return [self._tokenizer.id_to_token(token_id) or "" for token_id in ids]

    def decode(self, ids: Sequence[int], *, special: bool = False) -> str:
        """The text of these ids, with the special tokens among them spelled out or left out."""
        return str(self._tokenizer.decode(list(ids), skip_special_tokens=not special))

    def token_bytes(self, token_id: int) -> bytes:
        """What one token stands for, which need not be whole characters."""
        spelled = self._spelled.get(token_id)
        if spelled is None:
            spelled = self._spelled[token_id] = self._spell(token_id)
        return spelled

    def spelling(self, token_id: int) -> tuple[str, list[int]]:
        """What one token stands for as text and as a list of its bytes; all who ask share the list."""
        spelling = self._spellings.get(token_id)
        if spelling is None:
            spelled = self.token_bytes(token_id)
            spelling = self._spellings[token_id] = (spelled.decode(errors="replace"), list(spelled))
        return spelling

    def _check_length(self, characters: int, max_tokens: int, param: str) -> None:
        if self._longest_token and characters > max_tokens * self._longest_token:
            however = f"{param} is {characters} characters long, which are more tokens than that in any case."
            raise ContextLengthExceededError(context_length_exceeded(max_tokens, however), param=param)

    def _encode_text(self, text: str, *, begin: bool) -> list[int]:
        encoding = self._plain.encode_batch_fast([text], add_special_tokens=False)[0]
        ids: list[int] = self._tokenizer.post_process(encoding, add_special_tokens=True).ids if begin else encoding.ids
        return ids

    def _with_special_tokens(self, ids: list[int]) -> list[int]:
        """Return the ids with those around them that the post-processor adds to any text."""
        encoding = self._plain.encode_batch_fast([ANY_TEXT], add_special_tokens=False)[0]
        whole = self._tokenizer.post_process(encoding, add_special_tokens=True).ids
        length = len(encoding.ids)
        if not length:  # a vocabulary without this letter
            return ids
        start = next((start for start in range(len(whole)) if whole[start : start + length] == encoding.ids), 0)
        return [*whole[:start], *ids, *whole[start + length :]]

    def _encode(self, messages: Sequence[Message], render: Render, max_tokens: int) -> list[int]:
        if any(self._any_special.search(message.get(field, "")) for message in messages for field in WRITTEN):
            return list(self._encode_around_special_tokens(messages, render, max_tokens))
        rendered = render(messages)
        self._check_length(len(rendered), max_tokens, "messages")  # a template may repeat what it is given
        return _ids(self._tokenizer, rendered)

    def _spell(self, token_id: int) -> bytes:
        token = self._tokenizer.id_to_token(token_id)
        if token is None:
            return b""
        if self._byte_level and token not in self._special:
            with contextlib.suppress(KeyError):  # an added token is spelled as it is
                return bytes(self._byte_level[character] for character in token)
        return str(self._tokenizer.decode([token_id], skip_special_tokens=False)).encode()

    def _encode_around_special_tokens(
        self, messages: Sequence[Message], render: Render, max_tokens: int
    ) -> Iterator[int]:
        secret = new_marker()
        stand_ins = {token: f"{secret}{number}/" for number, token in enumerate(self._special)}
        tokens = {stand_in: token for token, stand_in in stand_ins.items()}

        def hidden(field: str, text: str) -> str:
            return self._any_special.sub(lambda match: stand_ins[match[0]], text) if field in WRITTEN else text

        def shown(text: str) -> str:
            return re.sub(rf"{secret}\d+/", lambda match: tokens[match[0]], text)

        rendered = render([{field: hidden(field, text) for field, text in message.items()} for message in messages])
        self._check_length(len(shown(rendered)), max_tokens, "messages")
        for piece in re.split(f"({self._any_special.pattern})", rendered):
            if piece in self._special:
                yield self._special[piece]
            elif piece:
                yield from _ids(self._plain, shown(piece))

    def _render(self, messages: Sequence[Message], end: PromptEnd, *, bounded: bool) -> str:
        if self._template is None:
            raise InvalidValueError(
                "This model has no chat template; /v1/completions takes texts as they are.", param="model"
            )
        return self._template.render(messages, end, bounded=bounded)


def _is_short(characters: int, calls: int) -> bool:
    return characters + calls * CHARACTERS_OF_A_CALL <= INLINE_CHARACTERS


def load_tokenizer(source: str, control_ids: Collection[int] = (), chat_template: str | None = None) -> ChatTokenizer:
    """Loads from a folder or a hub id; slow, and not for the event loop. Raises `TokenizerUnavailableError`.

    `control_ids` are special even if the tokenizer's files do not say so. A `chat_template` takes the place of the one
    that comes with the tokenizer. The class is named outright: to choose one by the model's configuration could run
    code from the checkpoint.
    """
    os.environ.setdefault("TRANSFORMERS_NO_ADVISORY_WARNINGS", "1")  # that there is no PyTorch is as it should be
    from transformers import PreTrainedTokenizerFast  # noqa: PLC0415 - takes a second; the port opens first

    try:
        folder = Path(source) if Path(source).is_dir() else _download(source)
        tokenizer = PreTrainedTokenizerFast.from_pretrained(folder)
        written = chat_template or chat_template_of(tokenizer)
        template = ChatTemplate(tokenizer, written) if written else None
        chat = ChatTokenizer(tokenizer, tokenizer_fingerprint(folder), control_ids, template)
    except ChatTemplateError as error:
        what = "the model's chat_template" if chat_template else f"the chat template of {source}"
        hint = "" if chat_template else "; chat_template = FILE in the model's settings takes another one"
        raise TokenizerUnavailableError(f"{what} cannot be used: {error}{hint}") from error
    except Exception as error:
        # Whatever is wrong with the files or the hub, the worker stays out until they are mended.
        raise TokenizerUnavailableError(f"cannot load the tokenizer {source}: {error}") from error
    _log_template(source, template)
    return chat


def _log_template(source: str, template: ChatTemplate | None) -> None:
    if template is None:
        log.warning("there is no chat template, and chats are refused", tokenizer=source)
        return
    support = template.support
    log.info(
        "chat template",
        tokenizer=source,
        content=support.user,
        system=support.system or "before the user's message",
        **({} if support.keeps_history else {"history": "lost, and refused"}),
    )


def _download(hub_id: str) -> Path:
    from huggingface_hub import snapshot_download  # noqa: PLC0415 - slow to import, and most models are here

    return Path(snapshot_download(hub_id, allow_patterns=list(TOKENIZER_FILES)))


def _ids(tokenizer: Tokenizer, text: str) -> list[int]:
    # Of the ways to encode, only a batch lets go of the interpreter lock.
    ids: list[int] = tokenizer.encode_batch_fast([text], add_special_tokens=False)[0].ids
    return ids


def _without(special: list[dict[str, Any]], state: dict[str, Any]) -> Tokenizer:
    ordinary = [token for token in state["added_tokens"] if token not in special]
    return Tokenizer.from_str(json.dumps({**state, "added_tokens": ordinary, "post_processor": None}))


def _is_byte_level(state: dict[str, Any]) -> bool:
    return "ByteLevel" in json.dumps([state["pre_tokenizer"], state["decoder"]])


def _byte_alphabet() -> dict[str, int]:
    """The characters by which byte-level tokenizers spell bytes, as GPT-2's introduced them."""
    printable = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = [byte for byte in range(256) if byte not in printable]
    spelled = {chr(byte): byte for byte in printable}
    return spelled | {chr(256 + number): byte for number, byte in enumerate(others)}


def _longest_token(state: dict[str, Any]) -> int | None:
    """The most characters that one token stands for; none if that has no bound, as with tokens for unknown words."""
    if state["normalizer"] or not _is_byte_level(state):
        return None
    return max(map(len, [*state["model"]["vocab"], *(token["content"] for token in state["added_tokens"])]))
