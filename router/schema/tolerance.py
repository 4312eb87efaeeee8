"""The only exemptions from the rule that a field which would have no effect is refused by name.

Clients send much that their users cannot change. Three kinds of it are let through, and this is the whole list of them:

1. History. A conversation is sent back as some server or library once wrote it. Whatever fields a message or a part has
   besides those that are read are dropped unread; the log names them at level debug.
2. Values that ask for nothing. A field of OpenAI's, vLLM's or SGLang's that this server does not have is accepted with
   the value that leaves everything as it is, such as 0 for a penalty, and refused with every other one.
3. Hints, above all about caching and moderation, which change no token of a reply.

Null needs no exemption: it is the same as leaving a field out, whichever field it is.
"""

from collections.abc import Iterable
from itertools import islice
from typing import Annotated, Any, Final

from pydantic import Field, PlainValidator, WithJsonSchema, model_validator
from pydantic_core import PydanticCustomError

from router.schema.fields import MAX_ENTRIES, UNSUPPORTED, UNUSED, Only, Strict

MESSAGE_FIELDS: Final = frozenset({"role", "name", "content"})
PART_FIELDS: Final = frozenset({"type", "text"})
MAX_DROPPED_NAMES: Final = 16  # that are kept to be logged
CALLS: Final = ("tool_calls", "function_call")
CALLS_BY_CHOICE: Final = {"tool_choice": "tools", "function_call": "functions"}


def drop_history_fields(messages: list[Any]) -> tuple[list[Any], set[str]]:
    """Return the messages with nothing but the fields that are read, and a few names of those that were dropped.

    What is dropped is not looked into, and neither is a list or an object that is too long to be accepted.
    """
    dropped: set[str] = set()
    if len(messages) > MAX_ENTRIES:
        return messages, dropped
    return [_without_history(message, dropped) for message in messages], dropped


def _without_history(message: Any, dropped: set[str]) -> Any:
    if not isinstance(message, dict) or len(message) > MAX_ENTRIES:
        return message
    content = message.get("content")
    call = next((name for name in CALLS if message.get(name)), None)
    # A call alone leaves nothing to be said, and is refused later; what it called does not matter.
    if call and _is_blank(content):
        return {**_only(message, MESSAGE_FIELDS, dropped), "content": "", call: True}
    read = _only(message, MESSAGE_FIELDS, dropped)
    if isinstance(content, list) and len(content) <= MAX_ENTRIES:
        read["content"] = [_only(part, PART_FIELDS, dropped) for part in content]
    return read


def _is_blank(content: Any) -> bool:
    if not isinstance(content, list):
        return not content
    return all(isinstance(part, dict) and part.get("type") == "text" and not part.get("text") for part in content)


def _only(given: Any, names: frozenset[str], dropped: set[str]) -> Any:
    if not isinstance(given, dict) or len(given) > MAX_ENTRIES:
        return given
    unused = (name for name in given if name not in names and given[name] is not None)
    dropped.update(islice(unused, MAX_DROPPED_NAMES - len(dropped)))
    return {name: given[name] for name in given if name in names}


def _moderation(given: Any) -> Any:
    """Accept a request for scores, which would come beside the reply, but none to hold a text back."""
    if not isinstance(given, dict):
        raise PydanticCustomError("dict_type", "must be an object")
    policy = given.get("policy")
    for side in ("input", "output"):
        rule = policy.get(side) if isinstance(policy, dict) else None
        if isinstance(rule, dict) and rule.get("mode") == "block":
            raise PydanticCustomError(
                UNSUPPORTED,
                'is "block", which is not supported by this server; it moderates nothing',
                {"at": ("policy", side, "mode")},
            )
    return given


_NO_BLOCK: Final = {"properties": {"mode": {"not": {"const": "block"}}}}
Moderation = Annotated[
    dict[str, Any],
    PlainValidator(_moderation),
    WithJsonSchema(
        {
            "type": "object",
            "properties": {"policy": {"properties": {"input": _NO_BLOCK, "output": _NO_BLOCK}}},
            "additionalProperties": True,
        }
    ),
]


class Hints(Strict):
    """Accepted in every request for text, and unused."""

    user: str | None = Field(None, description=UNUSED)
    metadata: dict[str, str] | None = Field(None, description=UNUSED)
    store: bool | None = Field(None, description=UNUSED)
    conversation_id: str | None = Field(None, description=UNUSED)
    session_id: str | None = Field(None, description=UNUSED)
    safety_identifier: str | None = Field(None, description=UNUSED)
    moderation: Moderation | None = Field(None, description=f'{UNUSED}; refused where its policy says `"block"`')
    prompt_cache_key: str | None = Field(None, description=UNUSED)
    prompt_cache_retention: str | None = Field(None, description=UNUSED)
    prompt_cache_options: dict[str, Any] | None = Field(None, description=UNUSED)
    cache_control: dict[str, Any] | None = Field(None, description=UNUSED)
    # They keep the prefixes of some users apart from those of others; here no request shares one with another.
    cache_salt: str | None = Field(None, description=UNUSED)
    extra_key: str | None = Field(None, description=UNUSED)


class Tolerated(Hints):
    """Fields of requests for text that this server lacks, each with the values that ask for nothing."""

    # OpenAI's
    frequency_penalty: Annotated[Any, Only(0)] = None
    presence_penalty: Annotated[Any, Only(0)] = None
    service_tier: Annotated[Any, Only("auto", "default")] = None

    # How tokens are chosen, in vLLM and SGLang
    repetition_penalty: Annotated[Any, Only(1)] = None
    length_penalty: Annotated[Any, Only(1)] = None
    use_beam_search: Annotated[Any, Only(False)] = None
    early_stopping: Annotated[Any, Only(False)] = None
    bad_words: Annotated[Any, Only([])] = None
    allowed_token_ids: Annotated[Any, Only([])] = None
    logits_processors: Annotated[Any, Only([])] = None
    custom_logit_processor: Annotated[Any, Only([])] = None
    custom_params: Annotated[Any, Only({})] = None
    vllm_xargs: Annotated[Any, Only({})] = None
    repetition_detection: Annotated[Any, Only({})] = None
    watermarking: Annotated[Any, Only(False)] = None

    # Where a reply ends
    stop_regex: Annotated[Any, Only([])] = None
    no_stop_trim: Annotated[Any, Only(False)] = None

    # Its form
    response_format: Annotated[Any, Only({"type": "text"}, {})] = None
    structured_outputs: Annotated[Any, Only({})] = None
    guided_json: Annotated[Any, Only()] = None
    guided_regex: Annotated[Any, Only()] = None
    guided_choice: Annotated[Any, Only([])] = None
    guided_grammar: Annotated[Any, Only()] = None
    guided_decoding_backend: Annotated[Any, Only()] = None
    guided_whitespace_pattern: Annotated[Any, Only()] = None
    structural_tag: Annotated[Any, Only()] = None
    json_schema: Annotated[Any, Only()] = None
    regex: Annotated[Any, Only()] = None
    ebnf: Annotated[Any, Only()] = None

    # Thinking, for which models that do it have options of their own
    reasoning_effort: Annotated[Any, Only("none")] = None
    thinking_token_budget: Annotated[Any, Only(0, -1)] = None
    include_reasoning: Annotated[Any, Only(True, False)] = None
    separate_reasoning: Annotated[Any, Only(True, False)] = None
    stream_reasoning: Annotated[Any, Only(True, False)] = None

    # What of the prompt is used
    truncate_prompt_tokens: Annotated[Any, Only()] = None
    truncation_side: Annotated[Any, Only("left", "right")] = None
    prompt_embeds: Annotated[Any, Only([])] = None
    input_ids: Annotated[Any, Only([])] = None
    lora_path: Annotated[Any, Only([])] = None
    images_config: Annotated[Any, Only({})] = None

    # What is told besides the reply
    prompt_logprobs: Annotated[Any, Only()] = None
    logprob_token_ids: Annotated[Any, Only([])] = None
    spaces_between_special_tokens: Annotated[Any, Only(True, False)] = None
    stream_interval: Annotated[Any, Only(1)] = None
    return_token_ids: Annotated[Any, Only(False)] = None
    return_tokens_as_token_ids: Annotated[Any, Only(False)] = None
    return_token_offsets: Annotated[Any, Only(False)] = None
    return_prompt_token_ids: Annotated[Any, Only(False)] = None
    return_mm_kwargs: Annotated[Any, Only(True, False)] = None
    return_hidden_states: Annotated[Any, Only(False)] = None
    return_routed_experts: Annotated[Any, Only(False)] = None
    routed_experts_prompt_start: Annotated[Any, Only(0)] = None
    routed_experts_start_len: Annotated[Any, Only(0)] = None
    return_cached_tokens_details: Annotated[Any, Only(False)] = None

    # How requests are named, ordered and spread over workers
    request_id: Annotated[Any, Only()] = None
    rid: Annotated[Any, Only([])] = None
    priority: Annotated[Any, Only(0)] = None
    custom_labels: Annotated[Any, Only({})] = None
    session_params: Annotated[Any, Only({})] = None
    kv_transfer_params: Annotated[Any, Only({})] = None
    ec_transfer_params: Annotated[Any, Only({})] = None
    ngram_corpus_id: Annotated[Any, Only([])] = None
    bootstrap_host: Annotated[Any, Only([])] = None
    bootstrap_port: Annotated[Any, Only([])] = None
    bootstrap_room: Annotated[Any, Only([])] = None
    routed_dp_rank: Annotated[Any, Only()] = None
    disagg_prefill_dp_rank: Annotated[Any, Only()] = None
    data_parallel_rank: Annotated[Any, Only()] = None


class ToleratedInChat(Tolerated):
    """Those that only requests for a chat have."""

    # OpenAI's
    tools: Annotated[Any, Only([], unless='`tool_choice` is `"none"`')] = None
    tool_choice: Annotated[Any, Only("none", "auto")] = None
    parallel_tool_calls: Annotated[Any, Only(True, False)] = None
    functions: Annotated[Any, Only([], unless='`function_call` is `"none"`')] = None
    function_call: Annotated[Any, Only("none", "auto")] = None
    modalities: Annotated[Any, Only(["text"], [])] = None
    audio: Annotated[Any, Only({})] = None
    prediction: Annotated[Any, Only({})] = None
    verbosity: Annotated[Any, Only("medium")] = None
    web_search_options: Annotated[Any, Only()] = None  # an empty object turns the search on

    # vLLM's and SGLang's
    best_of: Annotated[Any, Only(1)] = None
    echo: Annotated[Any, Only(False)] = None
    add_special_tokens: Annotated[Any, Only(False)] = None
    documents: Annotated[Any, Only([])] = None
    chat_template: Annotated[Any, Only()] = None
    chat_template_kwargs: Annotated[Any, Only({})] = None
    media_io_kwargs: Annotated[Any, Only({})] = None
    mm_processor_kwargs: Annotated[Any, Only({})] = None
    reasoning: Annotated[Any, Only({}, {"enabled": False}, {"effort": "none"})] = None
    task: Annotated[Any, Only()] = None
    max_dynamic_patch: Annotated[Any, Only()] = None
    min_dynamic_patch: Annotated[Any, Only()] = None
    use_audio_in_video: Annotated[Any, Only(False)] = None
    return_prompt_text: Annotated[Any, Only(False)] = None
    return_meta_info: Annotated[Any, Only(False)] = None

    @model_validator(mode="before")
    @classmethod
    def _drop_tools_that_are_not_to_be_called(cls, fields: Any) -> Any:
        if not isinstance(fields, dict):
            return fields
        unused = {
            tools
            for choice, tools in CALLS_BY_CHOICE.items()
            if fields.get(choice) == "none" and isinstance(fields.get(tools), list)
        }
        return {name: value for name, value in fields.items() if name not in unused} if unused else fields


class ToleratedInCompletions(Tolerated):
    """Those that only requests for a completion have."""

    add_special_tokens: Annotated[Any, Only(True)] = None


def supported_fields(kind: type[Strict]) -> Iterable[str]:
    """Return the names of those fields of a request that have an effect."""
    tolerated = (parent for parent in (ToleratedInChat, ToleratedInCompletions) if issubclass(kind, parent))
    return kind.model_fields.keys() - {name for parent in tolerated for name in parent.model_fields}
