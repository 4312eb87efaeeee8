"""Every path of this server: what it is for, what it takes, what it answers and how it can fail."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from router.errors import (
    BadWorkerResponseError,
    BodyTooLargeError,
    ContextLengthExceededError,
    DeadlineExceededError,
    DrainingError,
    ExpectationFailedError,
    HostNotAllowedError,
    InternalError,
    InvalidApiKeyError,
    InvalidHttpError,
    InvalidJsonError,
    InvalidValueError,
    ModelNotFoundError,
    NoHealthyWorkersError,
    PathNotFoundError,
    QueueTimeoutError,
    RateLimitExceededError,
    RequestTimeoutError,
    RouterError,
    ServerOverloadedError,
    UnsupportedMediaTypeError,
    UnsupportedParameterError,
)
from router.openapi.examples import (
    CHAT,
    CHAT_CHUNK,
    CHAT_REPLY,
    COMPLETION,
    COMPLETION_CHUNK,
    COMPLETION_REPLY,
    DETOKENIZE,
    HEALTH,
    MODEL,
    TOKENIZE,
    TOKENS,
)
from router.schema.chat import ChatRequest
from router.schema.completions import CompletionRequest
from router.schema.fields import Strict
from router.schema.health import Health, Live, NotReady, Ready
from router.schema.responses import (
    ChatCompletion,
    ChatCompletionChunk,
    Completion,
    CompletionChunk,
    Detokenized,
    Json,
    ModelCard,
    ModelList,
    Tokens,
    Version,
)
from router.schema.stats import EngineStats
from router.schema.tokens import DetokenizeRequest, TokenizeRequest

Errors = tuple[type[RouterError], ...]

JSON: Final = "application/json"
TEXT: Final = "text/plain"
HTML: Final = "text/html"
CSS: Final = "text/css"
JAVASCRIPT: Final = "text/javascript"
SVG: Final = "image/svg+xml"
OPEN_METRICS: Final = "application/openmetrics-text"

ALWAYS: Final[Errors] = (InvalidHttpError, HostNotAllowedError, ExpectationFailedError, InternalError)
KEYED: Final[Errors] = (InvalidApiKeyError,)
ABOUT_MODEL: Final[Errors] = (ModelNotFoundError, NoHealthyWorkersError)
ABOUT_BODY: Final[Errors] = (
    InvalidJsonError,
    InvalidValueError,
    UnsupportedParameterError,
    RequestTimeoutError,
    BodyTooLargeError,
    UnsupportedMediaTypeError,
)
OF_TOKENIZATION: Final[Errors] = (*KEYED, *ABOUT_BODY, *ABOUT_MODEL)
OF_GENERATION: Final[Errors] = (
    *OF_TOKENIZATION,
    ContextLengthExceededError,
    RateLimitExceededError,
    ServerOverloadedError,
    QueueTimeoutError,
    DrainingError,
    BadWorkerResponseError,
    DeadlineExceededError,
)


@dataclass(frozen=True, slots=True)
class Answer:
    """A body that an operation sends; `kind` is its TypedDict, none if it is a text or a document of its own."""

    description: str
    kind: type[Any] | None = None
    content_types: tuple[str, ...] = (JSON,)
    example: Json | None = None


@dataclass(frozen=True, slots=True)
class Stream:
    """What it sends instead when a stream is asked for: events that hold `kind`."""

    kind: type[Any]
    example: Json


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One method of one path."""

    id: str
    tag: Literal["Text", "Models", "Tokens", "State", "Documentation", "Playground"]
    method: Literal["get", "post"] = "get"
    path: str
    summary: str
    description: str = ""
    parameters: Mapping[str, str] = field(default_factory=dict)  # of the path, and what they mean
    request: type[Strict] | None = None
    examples: Mapping[str, Json] = field(default_factory=dict)  # of the request
    answers: Mapping[int, Answer]
    stream: Stream | None = None
    errors: Errors = ()  # beside those that can always happen

    @property
    def needs_key(self) -> bool:
        """If this server has keys."""
        return InvalidApiKeyError in self.errors

    @property
    def is_limited(self) -> bool:
        """If this server has limits."""
        return RateLimitExceededError in self.errors


OPERATIONS: Final[tuple[Operation, ...]] = (
    Operation(
        id="createChatCompletion",
        tag="Text",
        method="post",
        path="/v1/chat/completions",
        summary="Continue a conversation",
        description="The reply is written onto a canvas of up to `max_tokens` masked positions, many in each step.",
        request=ChatRequest,
        examples=CHAT,
        answers={200: Answer("The whole reply or, with `stream`, its events.", ChatCompletion, example=CHAT_REPLY)},
        stream=Stream(ChatCompletionChunk, CHAT_CHUNK),
        errors=OF_GENERATION,
    ),
    Operation(
        id="createCompletion",
        tag="Text",
        method="post",
        path="/v1/completions",
        summary="Continue a text, or fill in what stands between two",
        description="With `suffix` the canvas lies between `prompt` and `suffix`, and the model sees both.",
        request=CompletionRequest,
        examples=COMPLETION,
        answers={200: Answer("The whole reply or, with `stream`, its events.", Completion, example=COMPLETION_REPLY)},
        stream=Stream(CompletionChunk, COMPLETION_CHUNK),
        errors=OF_GENERATION,
    ),
    Operation(
        id="listModels",
        tag="Models",
        path="/v1/models",
        summary="The models that there are",
        answers={200: Answer("All of them.", ModelList, example={"object": "list", "data": [MODEL]})},
        errors=KEYED,
    ),
    Operation(
        id="retrieveModel",
        tag="Models",
        path="/v1/models/{id}",
        summary="One of them",
        parameters={"id": "the name of the model, which may hold slashes"},
        answers={200: Answer("That model.", ModelCard, example=MODEL)},
        errors=(*KEYED, *ABOUT_MODEL),
    ),
    Operation(
        id="tokenize",
        tag="Tokens",
        method="post",
        path="/tokenize",
        summary="The token ids of a text or of a conversation",
        description="Exactly one of `prompt` and `messages` is to be given.",
        request=TokenizeRequest,
        examples=TOKENIZE,
        answers={200: Answer("What a request with this text would begin with.", Tokens, example=TOKENS)},
        errors=(*OF_TOKENIZATION, ContextLengthExceededError),
    ),
    Operation(
        id="detokenize",
        tag="Tokens",
        method="post",
        path="/detokenize",
        summary="The text of token ids",
        request=DetokenizeRequest,
        examples=DETOKENIZE,
        answers={200: Answer("Special tokens are spelled out.", Detokenized, example={"prompt": "Spell river"})},
        errors=OF_TOKENIZATION,
    ),
    Operation(
        id="health",
        tag="State",
        path="/health",
        summary="Who serves what",
        description="For people and scripts; probes ask the two below. Where there are keys, whoever has none, and "
        "asks from another machine or through a proxy, is not told of workers and processes.",
        answers={200: Answer("Always, whether ready or not.", Health, example=HEALTH)},
    ),
    Operation(
        id="isLive",
        tag="State",
        path="/health/live",
        summary="Whether the event loop turns",
        description="Stays so while the server shuts down, so that nobody kills it for that.",
        answers={200: Answer("It does.", Live)},
    ),
    Operation(
        id="isReady",
        tag="State",
        path="/health/ready",
        summary="Whether a request sent now would find a worker",
        answers={200: Answer("It would.", Ready), 503: Answer("It would not, and why.", NotReady)},
    ),
    Operation(
        id="isHealthy",
        tag="State",
        path="/healthz",
        summary="The same, by the name that Kubernetes' own services have for it",
        answers={200: Answer("It would.", Ready), 503: Answer("It would not, and why.", NotReady)},
    ),
    Operation(
        id="engineStats",
        tag="State",
        path="/v1/engine/stats",
        summary="What models and workers are doing and have done",
        description="Workers are asked as this is called, for a second at most; they count from when they started.",
        answers={200: Answer("Always; of a worker that does not answer there are no figures.", EngineStats)},
        errors=KEYED,
    ),
    Operation(
        id="metrics",
        tag="State",
        path="/metrics",
        summary="The same and more, for Prometheus",
        answers={
            200: Answer("Prometheus' text format, or OpenMetrics if accepted.", content_types=(TEXT, OPEN_METRICS))
        },
    ),
    Operation(
        id="version",
        tag="State",
        path="/version",
        summary="The version of this software",
        answers={200: Answer("The version.", Version)},
    ),
    Operation(
        id="openapi",
        tag="Documentation",
        path="/openapi.json",
        summary="This document",
        answers={200: Answer("OpenAPI 3.1.")},
    ),
    Operation(
        id="documentation",
        tag="Documentation",
        path="/docs",
        summary="This document, for people",
        answers={200: Answer("A page that needs nothing from elsewhere.", content_types=(HTML,))},
    ),
    Operation(
        id="playground",
        tag="Playground",
        path="/",
        summary="A page on which to try the models, and to watch them denoise",
        description="There unless the setting `playground` turns it off.",
        answers={200: Answer("A page that needs nothing from elsewhere.", content_types=(HTML,))},
    ),
    Operation(
        id="playgroundFile",
        tag="Playground",
        path="/playground/{file}",
        summary="What that page is made of",
        parameters={"file": "the path of the file, which may hold slashes"},
        answers={200: Answer("The file.", content_types=(CSS, JAVASCRIPT, SVG, HTML))},
        errors=(PathNotFoundError,),
    ),
)
