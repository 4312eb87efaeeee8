import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, processors
from transformers import PreTrainedTokenizerFast

from router.errors import ContextLengthExceededError, InvalidValueError
from router.text.chat_template import PromptEnd
from router.text.tokenizer import INLINE_CHARACTERS, ChatTokenizer, TokenizerUnavailableError, load_tokenizer
from testing.tokenizer import CHAT_TEMPLATE

ROOM = 100_000
SPECIAL = ["<|mdm_mask|>", "<|eot_id|>", "<|startoftext|>", "<|start_header_id|>"]


def user(content: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": content}]


def special_ids(tokenizer: Tokenizer, ids: list[int]) -> list[str]:
    return [text for text in map(tokenizer.id_to_token, ids) if text.startswith("<|") and text.endswith("|>")]


@pytest.fixture(scope="session")
def reference(tokenizer_folder: Path) -> Any:
    return PreTrainedTokenizerFast.from_pretrained(tokenizer_folder)


@pytest.mark.parametrize("content", ["hello there", "  trimmed \n", "", "wörld 🌍", "a" * (INLINE_CHARACTERS + 1)])
async def test_ordinary_conversations_are_encoded_as_transformers_does(
    tokenizer: ChatTokenizer, reference: Any, content: str
) -> None:
    messages = [{"role": "system", "content": "be kind"}, *user(content)]
    expected = reference.apply_chat_template(messages, add_generation_prompt=True)["input_ids"]
    assert await tokenizer.encode(messages, ROOM) == expected


@pytest.mark.parametrize("special", SPECIAL)
async def test_a_special_token_that_a_user_writes_stays_text(
    tokenizer: ChatTokenizer, raw_tokenizer: Tokenizer, special: str
) -> None:
    clean = await tokenizer.encode(user("say  please"), ROOM)
    spelt = await tokenizer.encode(user(f" say {special} please "), ROOM)
    assert special_ids(raw_tokenizer, spelt) == special_ids(raw_tokenizer, clean)
    assert f"say {special} please" in raw_tokenizer.decode(spelt, skip_special_tokens=False)


@pytest.mark.parametrize("special", SPECIAL)
async def test_a_special_token_in_the_name_of_a_speaker_stays_text(
    tokenizer_folder: Path, tmp_path: Path, raw_tokenizer: Tokenizer, special: str
) -> None:
    for file in ("tokenizer.json", "tokenizer_config.json"):
        (tmp_path / file).write_bytes((tokenizer_folder / file).read_bytes())
    (tmp_path / "chat_template.jinja").write_text("{% for m in messages %}{{ m.name }}: {{ m.content }}{% endfor %}")
    tokenizer = load_tokenizer(str(tmp_path))
    ids = await tokenizer.encode([{"role": "user", "content": "hi", "name": f"ada{special}"}], ROOM)
    assert special_ids(raw_tokenizer, ids) == []
    assert raw_tokenizer.decode(ids, skip_special_tokens=False) == f"ada{special}: hi"


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50, deadline=None)
@given(pieces=st.lists(st.sampled_from([*SPECIAL, "<|", "|>", "eot_id", " ", "\n", "the", "ö"]), max_size=8))
async def test_the_text_between_is_encoded_as_if_special_tokens_did_not_exist(
    tokenizer: ChatTokenizer, reference: Any, pieces: list[str]
) -> None:
    content = "".join(pieces)
    before, after = reference.apply_chat_template(user("\x00"), add_generation_prompt=True, tokenize=False).split(
        "\x00"
    )
    head, tail = before.rpartition(">")[0] + ">", after
    text = before[len(head) :] + content.strip()
    expected = [
        *reference(head, add_special_tokens=False)["input_ids"],
        *reference(text, add_special_tokens=False, split_special_tokens=True)["input_ids"],
        *reference(tail, add_special_tokens=False)["input_ids"],
    ]
    assert await tokenizer.encode(user(content), ROOM) == expected


async def test_a_mask_token_that_the_files_call_ordinary_is_special_all_the_same(
    tokenizer_folder: Path, tmp_path: Path, raw_tokenizer: Tokenizer
) -> None:
    state = (tokenizer_folder / "tokenizer.json").read_text()
    mask = raw_tokenizer.token_to_id("<|mdm_mask|>")
    (tmp_path / "tokenizer.json").write_text(state.replace('"special": true', '"special": false'))
    config = (tokenizer_folder / "tokenizer_config.json").read_text()
    (tmp_path / "tokenizer_config.json").write_text(config)
    careful = load_tokenizer(str(tmp_path), {mask})
    assert mask not in await careful.encode(user("a <|mdm_mask|> b"), ROOM)


async def test_what_is_obviously_too_long_is_refused_before_it_is_encoded(tokenizer: ChatTokenizer) -> None:
    with pytest.raises(ContextLengthExceededError) as caught:
        await tokenizer.encode(user("a" * 10_000), 100)
    assert caught.value.param == "messages"
    assert caught.value.message.startswith("This model's maximum context length is 100 tokens. However, messages is ")


@pytest.fixture
def threads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """One entry for each call that left the event loop."""
    left, to_thread = list[str](), asyncio.to_thread

    async def noted(call: Callable[[], Any]) -> Any:
        left.append("encode")
        return await to_thread(call)

    monkeypatch.setattr(asyncio, "to_thread", noted)
    return left


async def test_what_is_short_is_encoded_at_once(tokenizer: ChatTokenizer, threads: list[str]) -> None:
    await tokenizer.encode(user("hi") * 10, ROOM)
    await tokenizer.encode_texts(["a" * 400] * 4, ROOM, "prompt", begin=True)
    assert threads == []


async def test_texts_that_are_only_together_long_are_encoded_in_one_thread(
    tokenizer: ChatTokenizer, threads: list[str]
) -> None:
    texts = ["a" * (INLINE_CHARACTERS // 2), "b" * (INLINE_CHARACTERS // 2), ""]
    encoded = await tokenizer.encode_texts(texts, ROOM, "prompt", begin=True)
    assert [tokenizer.decode(ids) for ids in encoded] == texts
    assert len(threads) == 1


async def test_a_conversation_of_many_empty_messages_is_not_short(tokenizer: ChatTokenizer, threads: list[str]) -> None:
    await tokenizer.encode(user("") * 100, ROOM)
    await tokenizer.encode_texts([""] * 100, ROOM, "prompt", begin=True)
    assert len(threads) == 2


async def test_one_text_too_long_among_short_ones_is_refused(tokenizer: ChatTokenizer) -> None:
    with pytest.raises(ContextLengthExceededError, match="10000 characters"):
        await tokenizer.encode_texts(["a", "a" * 10_000], 100, "prompt", begin=True)


async def test_a_model_without_chat_template_says_so(tokenizer_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_bytes((tokenizer_folder / "tokenizer.json").read_bytes())
    with pytest.raises(InvalidValueError, match="no chat template"):
        await load_tokenizer(str(tmp_path)).encode(user("hi"), ROOM)


@pytest.fixture
def folder(tokenizer_folder: Path, tmp_path: Path) -> Path:
    """One of its own, with a copy of the tokenizer."""
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (tmp_path / name).write_bytes((tokenizer_folder / name).read_bytes())
    return tmp_path


async def test_what_a_template_objects_to_is_told(tokenizer_folder: Path) -> None:
    template = "{% if messages | length > 1 %}{{ raise_exception('one at a time') }}{% endif %}" + CHAT_TEMPLATE
    tokenizer = load_tokenizer(str(tokenizer_folder), chat_template=template)
    with pytest.raises(InvalidValueError, match="one at a time"):
        await tokenizer.encode(user("hi") * 2, ROOM)


def test_a_template_that_can_never_work_makes_the_tokenizer_unavailable(folder: Path) -> None:
    (folder / "chat_template.jinja").write_text("{{ raise_exception('never') }}")
    with pytest.raises(TokenizerUnavailableError, match=f"the chat template of {folder} cannot be used: never"):
        load_tokenizer(str(folder))


def test_another_template_is_named_by_the_setting_that_gave_it(folder: Path) -> None:
    with pytest.raises(TokenizerUnavailableError, match="the model's chat_template cannot be used"):
        load_tokenizer(str(folder), chat_template="{{ bos_token }}")


async def test_another_template_takes_the_place_of_the_tokenizers_own(folder: Path) -> None:
    (folder / "chat_template.jinja").write_text("{{ raise_exception('never') }}")
    tokenizer = load_tokenizer(str(folder), chat_template="{% for m in messages %}{{ m['content'] }}{% endfor %}")
    assert tokenizer.decode(await tokenizer.encode(user("hi"), ROOM)) == "hi"


@pytest.mark.parametrize("place", ["list of templates", "file of its own", "file of its own beside others"])
async def test_a_template_is_found_wherever_transformers_keeps_it(folder: Path, place: str) -> None:
    mine, other = "{% for m in messages %}({{ m['content'] }}){% endfor %}", "{{ tools | length }}"
    if place == "list of templates":
        config = json.loads((folder / "tokenizer_config.json").read_text())
        config["chat_template"] = [{"name": "tool_use", "template": other}, {"name": "default", "template": mine}]
        (folder / "tokenizer_config.json").write_text(json.dumps(config))
    else:
        (folder / "chat_template.jinja").write_text(mine)
    if place == "file of its own beside others":
        (folder / "additional_chat_templates").mkdir()
        (folder / "additional_chat_templates" / "tool_use.jinja").write_text(other)
    tokenizer = load_tokenizer(str(folder))
    assert tokenizer.decode(await tokenizer.encode(user("hi"), ROOM)) == "(hi)"


FIRST_PART = CHAT_TEMPLATE.replace("message['content']", "message['content'][0]['text']")
NAMED = CHAT_TEMPLATE.replace("message['role']", "message['role'] + (message['name'] or '')")
NO_SYSTEM = "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no') }}{% endif %}" + CHAT_TEMPLATE


@pytest.mark.parametrize("special", SPECIAL)
@pytest.mark.parametrize("end", [PromptEnd(), PromptEnd(continues=True)])
@pytest.mark.parametrize("template", [CHAT_TEMPLATE, FIRST_PART, NAMED, NO_SYSTEM])
async def test_a_special_token_stays_text_in_every_place_that_a_user_fills_in(
    tokenizer_folder: Path, raw_tokenizer: Tokenizer, special: str, end: PromptEnd, template: str
) -> None:
    tokenizer = load_tokenizer(str(tokenizer_folder), chat_template=template)

    def conversation(text: str) -> list[dict[str, str]]:
        return [{"role": role, "content": f"a {text}", "name": f"b{text}"} for role in ("system", "user", "assistant")]

    clean = await tokenizer.encode(conversation(""), ROOM, end)
    spelt = await tokenizer.encode(conversation(special), ROOM, end)
    assert special_ids(raw_tokenizer, spelt) == special_ids(raw_tokenizer, clean)
    assert raw_tokenizer.decode(spelt, skip_special_tokens=False).count(f"a {special}") == 3


async def test_a_special_token_stays_text_where_a_template_changes_case(
    tokenizer_folder: Path, raw_tokenizer: Tokenizer
) -> None:
    template = "{% for m in messages %}{{ m['content'] | upper }}<|eot_id|>{% endfor %}"
    tokenizer = load_tokenizer(str(tokenizer_folder), chat_template=template)
    ids = await tokenizer.encode(user("so <|mdm_mask|> it is"), ROOM)
    assert special_ids(raw_tokenizer, ids) == ["<|eot_id|>"]
    assert raw_tokenizer.decode(ids, skip_special_tokens=False) == "SO <|mdm_mask|> IT IS<|eot_id|>"


@pytest.mark.parametrize("content", ["Once upon", "Once upon ", "wörld 🌍", ""])
async def test_a_continued_message_is_encoded_as_transformers_does(
    tokenizer: ChatTokenizer, reference: Any, content: str
) -> None:
    messages = [*user("hello there"), {"role": "assistant", "content": content}]
    if content:
        expected = reference.apply_chat_template(messages, continue_final_message=True)["input_ids"]
    else:  # the header of the message, which transformers would cut short
        expected = reference.apply_chat_template(messages[:1], add_generation_prompt=True)["input_ids"]
    assert await tokenizer.encode(messages, ROOM, PromptEnd(continues=True)) == expected


async def test_a_template_that_repeats_the_conversation_cannot_make_more_than_the_model_holds(
    tokenizer_folder: Path,
) -> None:
    tokenizer = load_tokenizer(
        str(tokenizer_folder),
        chat_template="{% for m in messages %}{{ m['content'] * (1000 if messages | length > 3 else 1) }}{% endfor %}",
    )
    for content in ("hi", "hi<|eot_id|>"):
        with pytest.raises(ContextLengthExceededError) as caught:
            await tokenizer.encode(user(content) * 4, 100)
        assert caught.value.param == "messages"


async def test_special_tokens_of_other_texts_are_added_when_asked_for(folder: Path) -> None:
    state = json.loads((folder / "tokenizer.json").read_text())
    inner = Tokenizer.from_file(str(folder / "tokenizer.json"))
    first, last = inner.token_to_id("<|startoftext|>"), inner.token_to_id("<|endoftext|>")
    inner.post_processor = processors.TemplateProcessing(
        single="<|startoftext|> $A <|endoftext|>", special_tokens=[("<|startoftext|>", first), ("<|endoftext|>", last)]
    )
    inner.save(str(folder / "tokenizer.json"))
    assert state["post_processor"] is None
    tokenizer = load_tokenizer(str(folder))
    for content in ("hi", "hi<|eot_id|>"):
        ids = await tokenizer.encode(user(content), ROOM)
        assert await tokenizer.encode(user(content), ROOM, special_tokens=True) == [first, *ids, last]


def test_tokens_are_told_as_the_vocabulary_spells_them(tokenizer: ChatTokenizer, reference: Any) -> None:
    ids = reference("hello wörld<|eot_id|>", add_special_tokens=False)["input_ids"]
    assert tokenizer.tokens(ids) == reference.convert_ids_to_tokens(ids)


def test_a_folder_without_a_tokenizer_is_unavailable(tmp_path: Path) -> None:
    with pytest.raises(TokenizerUnavailableError):
        load_tokenizer(str(tmp_path))


def test_special_tokens_are_no_text(tokenizer: ChatTokenizer, raw_tokenizer: Tokenizer) -> None:
    assert tokenizer.decode(raw_tokenizer.encode("a<|eot_id|>b").ids) == "ab"
