"""The shapes of what is answered; OpenAI's, and beside them what only a diffusion model can tell."""

from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, NotRequired

from pydantic import Field
from typing_extensions import TypedDict

from textdiffusion.generation_options import OPTIONS

FinishReason = Literal["stop", "length"]
EndOfReply = Annotated[
    FinishReason, Field(description="`stop`: an end token or a stop string; `length`: the canvas is full")
]
Created = Annotated[int, Field(description="seconds since 1970")]
ModelId = Annotated[str, Field(description="the model that wrote it")]
SystemFingerprint = Annotated[
    str,
    Field(description="of the model's weights, configuration and dtype; where it changes, so may what a seed gives"),
]
USAGE_OF_EVENT: Final = (
    "only with `include_usage`: in the last event; before it null or, with `continuous_usage_stats`, that of the reply "
    "so far"
)
ChoiceIndex = Annotated[int, Field(description="number of the choice, from 0; those of the first prompt come first")]
Logprob = Annotated[
    float, Field(description="natural logarithm of its probability when it was committed, -9999 at the least")
]


class PromptDetails(TypedDict):
    """OpenAI's details of the prompt."""

    text_tokens: Annotated[int, Field(description="all of them")]
    cached_tokens: Annotated[int, Field(description="always 0: nothing of a prompt is kept for the next request")]
    cache_write_tokens: Annotated[int, Field(description="always 0")]
    audio_tokens: Annotated[int, Field(description="always 0")]
    image_tokens: Annotated[int, Field(description="always 0")]


class UsageDetails(TypedDict):
    """OpenAI's details, and what is particular to diffusion."""

    text_tokens: Annotated[int, Field(description="all of them")]
    reasoning_tokens: Annotated[int, Field(description="always 0")]
    audio_tokens: Annotated[int, Field(description="always 0")]
    accepted_prediction_tokens: Annotated[int, Field(description="always 0")]
    rejected_prediction_tokens: Annotated[int, Field(description="always 0")]
    forward_passes: Annotated[int, Field(description="forward passes of the model that its choices took part in")]
    committed_tokens: Annotated[
        int, Field(description="tokens that were committed: the end token and those behind it count too")
    ]


class UsageObject(TypedDict):
    """What a reply cost, all choices together."""

    prompt_tokens: Annotated[int, Field(description="tokens of each prompt, once, and of its suffix")]
    completion_tokens: Annotated[int, Field(description="tokens of the replies, without end tokens")]
    total_tokens: Annotated[int, Field(description="both together")]
    prompt_tokens_details: PromptDetails
    completion_tokens_details: UsageDetails


class TokenLogprob(TypedDict):
    """A token and how likely it was."""

    token: Annotated[str, Field(description="its text; a replacement character for a part of a character")]
    logprob: Logprob
    bytes: Annotated[list[int], Field(description="its text in UTF-8")]


class ChosenTokenLogprob(TokenLogprob):
    """A token of the reply."""

    top_logprobs: Annotated[
        list[TokenLogprob], Field(description="the likeliest at its position, as many as were asked for")
    ]


class ChatLogprobs(TypedDict):
    content: Annotated[list[ChosenTokenLogprob], Field(description="the tokens of the text, in its order")]
    refusal: Annotated[None, Field(description="always null")]


class CompletionLogprobs(TypedDict):
    """Four lists, each with an entry for each token of the text."""

    tokens: Annotated[
        list[str], Field(description=r"their texts; `bytes:\xf0\x9f` and the like for parts of characters")
    ]
    token_logprobs: Annotated[list[float], Field(description="their log probabilities when they were committed")]
    top_logprobs: Annotated[
        list[dict[str, float]],
        Field(description="each token itself, and the likeliest at its position, as many as were asked for"),
    ]
    text_offset: Annotated[list[int], Field(description="where their texts begin in that of the choice, in characters")]


class AssistantMessage(TypedDict):
    role: Literal["assistant"]
    content: Annotated[str, Field(description="the reply")]
    refusal: Annotated[None, Field(description="always null")]


class ChatChoice(TypedDict):
    index: ChoiceIndex
    message: AssistantMessage
    logprobs: Annotated[ChatLogprobs | None, Field(description="null unless asked for")]
    finish_reason: EndOfReply


class ChatCompletion(TypedDict):
    """A whole reply to POST /v1/chat/completions."""

    id: Annotated[str, Field(description="of this reply; the request has an id of its own, in x-request-id")]
    object: Literal["chat.completion"]
    created: Created
    model: ModelId
    system_fingerprint: SystemFingerprint
    choices: Annotated[list[ChatChoice], Field(description="`n` of them")]
    usage: UsageObject


class Delta(TypedDict):
    """What an event adds to the message; empty in the one that ends it, and where a step made nothing readable."""

    role: NotRequired[Annotated[Literal["assistant"], Field(description="in the first event of a choice")]]
    content: NotRequired[Annotated[str, Field(description="whole characters, to be appended")]]


class ChatChunkChoice(TypedDict):
    index: ChoiceIndex
    delta: Delta
    logprobs: Annotated[ChatLogprobs | None, Field(description="of the tokens of this event, if asked for")]
    finish_reason: Annotated[FinishReason | None, Field(description="null until the choice ends")]


class CanvasToken(ChosenTokenLogprob):
    """A token that the step committed."""

    position: Annotated[int, Field(description="on the canvas, from 0")]


class Canvas(TypedDict):
    """The canvas of one choice after a step."""

    step: Annotated[int, Field(description="number of the forward pass, from 1")]
    tokens: Annotated[list[str | None], Field(description="the text at each position; null where it is masked")]
    committed: Annotated[list[CanvasToken], Field(description="what the step committed")]


class ChatCompletionChunk(TypedDict):
    """One event of a streamed reply; the one with the usage has no choices."""

    id: Annotated[str, Field(description="the same in all events of a reply")]
    object: Literal["chat.completion.chunk"]
    created: Created
    model: ModelId
    system_fingerprint: SystemFingerprint
    choices: Annotated[list[ChatChunkChoice], Field(description="one, or none beside the usage")]
    usage: NotRequired[Annotated[UsageObject | None, Field(description=USAGE_OF_EVENT)]]
    canvas: NotRequired[Annotated[Canvas, Field(description="only with `diffusing`: that of the event's choice")]]


class CompletionChoice(TypedDict):
    index: ChoiceIndex
    text: Annotated[str, Field(description="the reply; behind the prompt, if `echo` asks for it")]
    logprobs: Annotated[CompletionLogprobs | None, Field(description="null unless asked for")]
    finish_reason: EndOfReply


class Completion(TypedDict):
    """A whole reply to POST /v1/completions."""

    id: Annotated[str, Field(description="of this reply; the request has an id of its own, in x-request-id")]
    object: Literal["text_completion"]
    created: Created
    model: ModelId
    system_fingerprint: SystemFingerprint
    choices: Annotated[list[CompletionChoice], Field(description="`n` for each prompt")]
    usage: UsageObject


class CompletionChunkChoice(TypedDict):
    index: ChoiceIndex
    text: Annotated[str, Field(description="whole characters, to be appended")]
    logprobs: Annotated[CompletionLogprobs | None, Field(description="of the tokens of this event, if asked for")]
    finish_reason: Annotated[FinishReason | None, Field(description="null until the choice ends")]


class CompletionChunk(TypedDict):
    """One event of a streamed reply; the one with the usage has no choices."""

    id: Annotated[str, Field(description="the same in all events of a reply")]
    object: Literal["text_completion"]
    created: Created
    model: ModelId
    system_fingerprint: SystemFingerprint
    choices: Annotated[list[CompletionChunkChoice], Field(description="one, or none beside the usage")]
    usage: NotRequired[Annotated[UsageObject | None, Field(description=USAGE_OF_EVENT)]]
    canvas: NotRequired[Annotated[Canvas, Field(description="only with `diffusing`: that of the event's choice")]]


NOTHING_SET: Final = "as in requests; null where nothing is set"

if TYPE_CHECKING:
    GenerationDefaults = dict[str, Any]
else:
    GenerationDefaults = TypedDict(
        "GenerationDefaults",
        {
            option.name: Annotated[option.type | None, Field(description=NOTHING_SET)]
            for option in OPTIONS.values()
            if option.has_default
        },
    )
    GenerationDefaults.__doc__ = "What a request to a model gets for the fields that it leaves out."


class ModelCard(TypedDict):
    """A model that workers serve."""

    id: Annotated[str, Field(description="what requests call it")]
    object: Literal["model"]
    created: Annotated[int, Field(description="when this server first met it, in seconds since 1970")]
    owned_by: Annotated[str, Field(description="always text-diffusion-inference")]
    max_model_len: Annotated[int, Field(description="tokens that it holds: prompt, suffix and reply together")]
    family: Annotated[str, Field(description="what decides how it is denoised, and which options it knows")]
    defaults: Annotated[GenerationDefaults, Field(description="what a request gets for the fields that it leaves out")]
    options: Annotated[list[str], Field(description="the options of requests that it knows")]


class ModelList(TypedDict):
    object: Literal["list"]
    data: list[ModelCard]


class Tokens(TypedDict):
    """What POST /tokenize answers."""

    count: Annotated[int, Field(description="how many they are")]
    max_model_len: Annotated[int, Field(description="how many the model holds")]
    tokens: Annotated[list[int], Field(description="token ids")]
    token_strs: Annotated[
        list[str] | None, Field(description="each token as the vocabulary spells it; null unless asked for")
    ]


class Detokenized(TypedDict):
    """What POST /detokenize answers."""

    prompt: Annotated[str, Field(description="their text, special tokens spelled out")]


class ErrorDetails(TypedDict):
    message: Annotated[str, Field(description="what was wrong and what to do, in a sentence")]
    type: Annotated[str, Field(description="`invalid_request_error`, `rate_limit_error` or `server_error`")]
    param: Annotated[str | None, Field(description="the field at fault, such as `messages[0].content`")]
    code: Annotated[str | None, Field(description="which error it is")]


class ErrorObject(TypedDict):
    """What is answered whenever something goes wrong, on every path."""

    error: ErrorDetails


class Version(TypedDict):
    version: Annotated[str, Field(description="of this software")]


Event = ChatCompletionChunk | CompletionChunk | ErrorObject
Json = dict[str, Any]
