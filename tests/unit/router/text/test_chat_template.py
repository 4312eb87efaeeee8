from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from transformers import PreTrainedTokenizerFast

from router.errors import InvalidValueError
from router.text import chat_template
from router.text.chat_template import ChatTemplate, PromptEnd, chat_template_of
from router.text.template_trial import ChatTemplateError, TemplateSupport
from testing.tokenizer import CHAT_TEMPLATE

Make = Callable[[str], ChatTemplate]

SYSTEM = {"role": "system", "content": "Be kind."}
USER = {"role": "user", "content": "Spell river"}
ASSISTANT = {"role": "assistant", "content": "r-i-v"}

TEXT = "{% for m in messages %}<{{ m['role'] }}>{{ m['content'] }}</>{% endfor %}"
FIRST_PART = "{% for m in messages %}<{{ m['role'] }}>{{ m['content'][0]['text'] | trim }}</>{% endfor %}"
ALL_PARTS = (
    "{% for m in messages %}<{{ m['role'] }}>{% for c in m['content'] %}{% if c['type'] == 'text' %}{{ c['text'] }}"
    "{% endif %}{% endfor %}</>{% endfor %}"
)
TEXT_OR_PARTS = (
    "{% for m in messages %}<{{ m['role'] }}>{% if m['content'] is string %}{{ m['content'] }}{% else %}"
    "{% for c in m['content'] %}{{ c['text'] }}{% endfor %}{% endif %}</>{% endfor %}"
)
TEXT_OF_SYSTEM = (  # and parts of all others
    "{% if messages[0]['role'] == 'system' %}<system>{{ messages[0]['content'] | trim }}</>"
    "{% set messages = messages[1:] %}{% endif %}" + ALL_PARTS
)
NO_SYSTEM = "{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
ALTERNATING = (
    "{% for m in messages %}{% if (m['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('Conversation roles must alternate user/assistant') }}{% endif %}{% endfor %}" + TEXT
)
SILENT_ON_SYSTEM = "{% for m in messages if m['role'] != 'system' %}<{{ m['role'] }}>{{ m['content'] }}</>{% endfor %}"
NEEDS_SYSTEM = "{% if messages[0]['role'] != 'system' %}{{ raise_exception('I need a system message') }}{% endif %}"


@pytest.fixture(scope="session")
def transformers_tokenizer(tokenizer_folder: Path) -> Any:
    return PreTrainedTokenizerFast.from_pretrained(tokenizer_folder)


@pytest.fixture
def make(transformers_tokenizer: Any) -> Make:
    return lambda source: ChatTemplate(transformers_tokenizer, source)


@pytest.mark.parametrize(
    ("source", "support"),
    [
        (CHAT_TEMPLATE, TemplateSupport("text", "text", "text", keeps_history=True)),
        (TEXT, TemplateSupport("text", "text", "text", keeps_history=True)),
        (TEXT_OR_PARTS, TemplateSupport("text", "text", "text", keeps_history=True)),
        (FIRST_PART, TemplateSupport("parts", "parts", "parts", keeps_history=True)),
        (ALL_PARTS, TemplateSupport("parts", "parts", "parts", keeps_history=True)),
        (TEXT_OF_SYSTEM, TemplateSupport("parts", "parts", "text", keeps_history=True)),
        (NO_SYSTEM + TEXT, TemplateSupport("text", "text", None, keeps_history=True)),
        (NO_SYSTEM + ALL_PARTS, TemplateSupport("parts", "parts", None, keeps_history=True)),
        (SILENT_ON_SYSTEM, TemplateSupport("text", "text", None, keeps_history=True)),
        (ALTERNATING, TemplateSupport("text", "text", None, keeps_history=True)),
        (NEEDS_SYSTEM + TEXT, TemplateSupport("text", "text", "text", keeps_history=True)),
        ("{{ messages[-1]['content'] }}", TemplateSupport("text", "text", None, keeps_history=False)),
        ("{{ strftime_now('%Y') }}{{ date_string }}" + TEXT, TemplateSupport("text", "text", "text", True)),
        ("{% generation %}" + TEXT + "{% endgeneration %}", TemplateSupport("text", "text", "text", True)),
    ],
)
def test_what_a_template_takes_is_found_out(make: Make, source: str, support: TemplateSupport) -> None:
    assert make(source).support == support


@pytest.mark.parametrize("source", [TEXT, FIRST_PART, ALL_PARTS, TEXT_OR_PARTS, TEXT_OF_SYSTEM])
def test_words_arrive_whatever_form_a_template_wants_them_in(make: Make, source: str) -> None:
    prompt = make(source).render([SYSTEM, USER, ASSISTANT, {"role": "user", "content": "one\ntwo"}])
    assert prompt == "<system>Be kind.</><user>Spell river</><assistant>r-i-v</><user>one\ntwo</>"


@pytest.mark.parametrize("source", [NO_SYSTEM + TEXT, SILENT_ON_SYSTEM, ALTERNATING, NO_SYSTEM + FIRST_PART])
def test_a_system_message_that_a_template_has_no_place_for_is_put_before_the_user_message(
    make: Make, source: str
) -> None:
    template = make(source)
    assert template.render([SYSTEM, USER, ASSISTANT, USER]) == (
        "<user>Be kind.\n\nSpell river</><assistant>r-i-v</><user>Spell river</>"
    )
    assert template.render([SYSTEM, {"role": "system", "content": "Be brief."}, USER]) == (
        "<user>Be kind.\n\nBe brief.\n\nSpell river</>"
    )


@pytest.mark.parametrize(
    ("messages", "prompt"),
    [
        ([SYSTEM], "<user>Be kind.</>"),
        ([SYSTEM, ASSISTANT, USER], "<user>Be kind.</><assistant>r-i-v</><user>Spell river</>"),
        ([USER, ASSISTANT, SYSTEM], "<user>Spell river</><assistant>r-i-v</><user>Be kind.</>"),
        ([USER, ASSISTANT, SYSTEM, USER], "<user>Spell river</><assistant>r-i-v</><user>Be kind.\n\nSpell river</>"),
        ([{"role": "system", "content": " "}, USER], "<user>Spell river</>"),
        ([{"role": "system", "content": " "}], "<user> </>"),
    ],
)
def test_a_system_message_without_a_user_message_to_go_before_is_one_itself(
    make: Make, messages: Any, prompt: str
) -> None:
    assert make(ALTERNATING).render(messages) == prompt


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("{% if tools|length > 0 %}{{ tools }}{% endif %}" + TEXT, "TypeError: object of type 'NoneType' has no len"),
        ("{% for m in messages %}{{ m['role'] + m.get('name') }}{% endfor %}", "TypeError: can only concatenate str"),
        ("{{ 1 / 0 }}", "ZeroDivisionError"),
        ("{{ messages[0].content.missing.field }}", "UndefinedError: .* has no attribute"),
        ("{{ messages.__class__.__mro__ }}", "SecurityError"),
        ("{{ messages.append(messages[0]) }}", "SecurityError"),
        ("{% macro again() %}{{ again() }}{% endmacro %}{{ again() }}", "RecursionError"),
        ("{{ raise_exception('tools are needed') }}", "tools are needed"),
        ("{% for m in messages %}", "line 1: .*end of"),
        ("{{ bos_token }}user", "what the user says is lost, be it given as text or as parts"),
        ("{% for m in messages %}{{ m['text'] }}{% endfor %}", "what the user says is lost"),
        ("{% for m in messages if m['role'] == 'human' %}{{ m['content'] }}{% endfor %}", "what the user says is lost"),
    ],
)
def test_a_template_that_can_never_work_is_refused_with_its_reason(make: Make, source: str, reason: str) -> None:
    with pytest.raises(ChatTemplateError, match=reason):
        make(source)


def test_a_template_that_never_ends_is_refused(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chat_template, "TRIAL_SECONDS", 0.2)
    endless = "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}"
    with pytest.raises(ChatTemplateError, match=r"longer than 0\.2 s"):
        make(endless + TEXT)


@pytest.mark.parametrize(
    ("failing", "reason"),
    [
        ("{{ 1 / 0 }}", "ZeroDivisionError"),
        ("{{ none + 1 }}", "TypeError"),
        ("{{ '{x}'.format() }}", "KeyError"),
        ("{{ messages[99].content }}", "UndefinedError"),
        ("{{ 'x'.index('y') }}", "ValueError"),
        ("{{ m.content.__class__ }}{{ m.content.__class__.__mro__ }}", "SecurityError"),
        ("{{ raise_exception('say no more') }}", "cannot render them: say no more$"),
        ("{{ raise_exception(m.content * 2000) }}", "…$"),
        ("{{ raise_exception(m.content.missing) }}", "TemplateError"),
    ],
)
def test_any_failure_in_a_request_is_told_to_its_sender(make: Make, failing: str, reason: str) -> None:
    template = make(
        "{% for m in messages %}{% if m['content'] == 'now' %}" + failing + "{% endif %}{% endfor %}" + TEXT
    )
    with pytest.raises(InvalidValueError, match=reason) as caught:
        template.render([{"role": "user", "content": "now"}], bounded=False)
    assert caught.value.param == "messages"
    assert len(caught.value.message) < 700


def test_a_conversation_that_takes_a_template_too_long_is_refused(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chat_template, "RENDERING_SECONDS", 0.2)
    slow = (
        "{% if messages | length > 1 %}{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}"
        "{% endif %}"
    )
    monkeypatch.setattr(chat_template, "try_template", lambda _: TemplateSupport("text", "text", "text", True))
    with pytest.raises(InvalidValueError, match=r"longer than 0\.2 s"):
        make(slow + TEXT).render([USER, ASSISTANT])


def test_a_template_that_keeps_the_last_words_only_takes_no_others(make: Make) -> None:
    template = make("{{ messages[-1]['content'] }}")
    assert template.render([SYSTEM, USER]) == "Be kind.\n\nSpell river"
    with pytest.raises(InvalidValueError, match="keeps one message of the user"):
        template.render([USER, ASSISTANT, USER])


@pytest.mark.parametrize(
    ("source", "content", "prompt"),
    [
        (TEXT, "Once upon ", "<user>Spell river</><assistant>Once upon "),
        (CHAT_TEMPLATE, "Once upon ", "Once upon"),
        (FIRST_PART, " Once\nupon \n", "<user>Spell river</><assistant>Once\nupon"),
        (ALL_PARTS, "", "<user>Spell river</><assistant>"),
        (TEXT, " ", "<user>Spell river</><assistant>"),
        (CHAT_TEMPLATE, " \n", "<|start_header_id|>assistant<|end_header_id|>\n\n"),
        (TEXT, "</><assistant>", "<user>Spell river</><assistant></><assistant>"),
        (ALTERNATING, "r-i-v", "<user>Spell river</><assistant>r-i-v"),
        (NO_SYSTEM + ALL_PARTS, "r-i-v ", "<user>Spell river</><assistant>r-i-v "),
    ],
)
def test_a_prompt_that_is_continued_ends_with_the_words_of_its_last_message(
    make: Make, source: str, content: str, prompt: str
) -> None:
    messages = [USER, {"role": "assistant", "content": content}]
    rendered = make(source).render(messages, PromptEnd(continues=True))
    assert rendered.endswith(prompt)
    if source != CHAT_TEMPLATE:
        assert rendered == prompt


@pytest.mark.parametrize("content", ["Once upon", "Once upon ", "  Once", "a\n\nb\n", "<|eot_id|> x"])
@pytest.mark.parametrize("source", [CHAT_TEMPLATE, TEXT, TEXT_OR_PARTS])
def test_it_is_continued_as_transformers_does(
    make: Make, transformers_tokenizer: Any, source: str, content: str
) -> None:
    messages = [SYSTEM, USER, {"role": "assistant", "content": content}]
    expected = transformers_tokenizer.apply_chat_template(
        messages, chat_template=source, tokenize=False, continue_final_message=True
    )
    assert make(source).render(messages, PromptEnd(continues=True)) == expected


@pytest.mark.parametrize(
    "source",
    [
        "{% for m in messages %}{{ m['content'] | upper if m['role'] == 'assistant' else m['content'] }}{% endfor %}",
        "{% for m in messages if m['role'] == 'user' %}{{ m['content'] }}{% endfor %}",
        "{% for m in messages %}{{ m['content'].split('</think>')[-1] }}{% endfor %}",
    ],
)
def test_words_that_a_template_changes_cannot_be_continued(make: Make, source: str) -> None:
    last = {"role": "assistant", "content": "<think>so</think>r-i-v"}
    with pytest.raises(InvalidValueError, match="cannot be continued") as caught:
        make(source).render([USER, last], PromptEnd(continues=True))
    assert caught.value.param == "messages"


@pytest.mark.parametrize("content", ["Be kind.", ""])
def test_a_system_message_that_became_one_of_the_user_is_continued_like_any_other(make: Make, content: str) -> None:
    rendered = make(ALTERNATING).render([{"role": "system", "content": content}], PromptEnd(continues=True))
    assert rendered == f"<user>{content}"


def test_a_template_may_be_asked_for_no_header_of_a_reply(make: Make) -> None:
    template = make(TEXT + "{% if add_generation_prompt %}<assistant>{% endif %}")
    assert template.render([USER]) == "<user>Spell river</><assistant>"
    assert template.render([USER], PromptEnd(generation_prompt=False)) == "<user>Spell river</>"
    assert template.render([USER], PromptEnd(continues=True)) == "<user>Spell river"


def test_of_several_templates_the_default_is_taken(tokenizer_folder: Path) -> None:
    tokenizer: Any = PreTrainedTokenizerFast.from_pretrained(tokenizer_folder)
    tokenizer.chat_template = {"tool_use": "tools", "default": TEXT}
    assert chat_template_of(tokenizer) == TEXT
    tokenizer.chat_template = {"tool_use": "tools", "rag": "documents"}
    with pytest.raises(ChatTemplateError, match="rag, tool_use, and none called default"):
        chat_template_of(tokenizer)
    tokenizer.chat_template = None
    assert chat_template_of(tokenizer) is None
