"""The one table of the API: every path, who may ask, what answers, what it is for and how it can fail."""

from typing import Final

from router import errors
from router.endpoints import (
    chat,
    completions,
    documentation,
    health,
    metrics,
    models,
    playground,
    stats,
    tokens,
    version,
)
from router.http.routing import Answer, Errors, Operation, Route, RouteTable, Stream
from router.openapi import examples
from router.schema import responses
from router.schema.chat import ChatRequest
from router.schema.completions import CompletionRequest
from router.schema.health import Health, Live, NotReady, Ready
from router.schema.stats import EngineStats
from router.schema.tokens import DetokenizeRequest, TokenizeRequest

ABOUT_MODEL: Final[Errors] = (errors.ModelNotFoundError, errors.NoHealthyWorkersError)
OF_TOKENIZATION: Final[Errors] = (
    errors.InvalidJsonError,
    errors.InvalidValueError,
    errors.UnsupportedParameterError,
    errors.RequestTimeoutError,
    errors.BodyTooLargeError,
    errors.UnsupportedMediaTypeError,
    *ABOUT_MODEL,
)
OF_GENERATION: Final[Errors] = (
    *OF_TOKENIZATION,
    errors.ContextLengthExceededError,
    errors.ServerOverloadedError,
    errors.QueueTimeoutError,
    errors.DrainingError,
    errors.BadWorkerResponseError,
    errors.DeadlineExceededError,
)

HTML: Final = "text/html"
PAGE: Final = {200: Answer("A page that needs nothing from elsewhere.", content_types=(HTML,))}
READINESS: Final = {200: Answer("It would.", Ready), 503: Answer("It would not, and why.", NotReady)}
REPLY: Final = "The whole reply or, with `stream`, its events."
ALL_MODELS: Final = {"object": "list", "data": [examples.MODEL]}

TABLE: Final = RouteTable(
    {
        Route("POST", "/v1/chat/completions", chat.chat_completions, "key", limited=True, operation="chat"): Operation(
            id="createChatCompletion",
            tag="Text",
            summary="Continue a conversation",
            description="The reply is written onto a canvas of up to `max_tokens` masked positions, many in each step.",
            request=ChatRequest,
            examples=examples.CHAT,
            answers={200: Answer(REPLY, responses.ChatCompletion, example=examples.CHAT_REPLY)},
            stream=Stream(responses.ChatCompletionChunk, examples.CHAT_CHUNK),
            errors=OF_GENERATION,
        ),
        Route(
            "POST", "/v1/completions", completions.completions, "key", limited=True, operation="text_completion"
        ): Operation(
            id="createCompletion",
            tag="Text",
            summary="Continue a text, or fill in what stands between two",
            description="With `suffix` the canvas lies between `prompt` and `suffix`, and the model sees both.",
            request=CompletionRequest,
            examples=examples.COMPLETION,
            answers={200: Answer(REPLY, responses.Completion, example=examples.COMPLETION_REPLY)},
            stream=Stream(responses.CompletionChunk, examples.COMPLETION_CHUNK),
            errors=OF_GENERATION,
        ),
        Route("GET", "/v1/models", models.list_models, "key"): Operation(
            id="listModels",
            tag="Models",
            summary="The models that there are",
            answers={200: Answer("All of them.", responses.ModelList, example=ALL_MODELS)},
        ),
        Route("GET", "/v1/models/{id:.+}", models.retrieve_model, "key"): Operation(
            id="retrieveModel",
            tag="Models",
            summary="One of them",
            parameters={"id": "the name of the model, which may hold slashes"},
            answers={200: Answer("That model.", responses.ModelCard, example=examples.MODEL)},
            errors=ABOUT_MODEL,
        ),
        Route("POST", "/tokenize", tokens.tokenize, "key"): Operation(
            id="tokenize",
            tag="Tokens",
            summary="The token ids of a text or of a conversation",
            description="Exactly one of `prompt` and `messages` is to be given.",
            request=TokenizeRequest,
            examples=examples.TOKENIZE,
            answers={
                200: Answer(
                    "What a request with this text would begin with.", responses.Tokens, example=examples.TOKENS
                )
            },
            errors=(*OF_TOKENIZATION, errors.ContextLengthExceededError),
        ),
        Route("POST", "/detokenize", tokens.detokenize, "key"): Operation(
            id="detokenize",
            tag="Tokens",
            summary="The text of token ids",
            request=DetokenizeRequest,
            examples=examples.DETOKENIZE,
            answers={
                200: Answer("Special tokens are spelled out.", responses.Detokenized, example={"prompt": "Spell river"})
            },
            errors=OF_TOKENIZATION,
        ),
        Route("GET", "/health", health.details, "open", quiet=True): Operation(
            id="health",
            tag="State",
            summary="Who serves what",
            description="For people and scripts; probes ask the two below. Where there are keys, whoever has none, and "
            "asks from another machine or through a proxy, is not told of workers and processes.",
            answers={200: Answer("Always, whether ready or not.", Health, example=examples.HEALTH)},
        ),
        Route("GET", "/health/live", health.live, "open", quiet=True): Operation(
            id="isLive",
            tag="State",
            summary="Whether the event loop turns",
            description="Stays so while the server shuts down, so that nobody kills it for that.",
            answers={200: Answer("It does.", Live)},
        ),
        Route("GET", "/health/ready", health.ready, "open", quiet=True): Operation(
            id="isReady",
            tag="State",
            summary="Whether a request sent now would find a worker",
            answers=READINESS,
        ),
        Route("GET", "/healthz", health.ready, "open", quiet=True): Operation(
            id="isHealthy",
            tag="State",
            summary="The same, by the name that Kubernetes' own services have for it",
            answers=READINESS,
        ),
        Route("GET", "/v1/engine/stats", stats.engine_stats, "key"): Operation(
            id="engineStats",
            tag="State",
            summary="What models and workers are doing and have done",
            description="Workers are asked as this is called, for a second at most; they count from when they started.",
            answers={200: Answer("Always; of a worker that does not answer there are no figures.", EngineStats)},
        ),
        Route("GET", "/metrics", metrics.metrics, "open", quiet=True): Operation(
            id="metrics",
            tag="State",
            summary="The same and more, for Prometheus",
            answers={
                200: Answer(
                    "Prometheus' text format, or OpenMetrics if accepted.",
                    content_types=("text/plain", metrics.OPEN_METRICS),
                )
            },
        ),
        Route("GET", "/version", version.show_version, "open"): Operation(
            id="version",
            tag="State",
            summary="The version of this software",
            answers={200: Answer("The version.", responses.Version)},
        ),
        Route("GET", "/openapi.json", documentation.openapi_json, "open"): Operation(
            id="openapi",
            tag="Documentation",
            summary="This document",
            answers={200: Answer("OpenAPI 3.1.")},
        ),
        Route("GET", "/docs", documentation.docs, "open"): Operation(
            id="documentation",
            tag="Documentation",
            summary="This document, for people",
            answers=PAGE,
        ),
        Route("GET", "/", playground.index, "open", setting="playground"): Operation(
            id="playground",
            tag="Playground",
            summary="A page on which to try the models, and to watch them denoise",
            description="There unless the setting `playground` turns it off.",
            answers=PAGE,
        ),
        Route("GET", "/playground/{file:.+}", playground.file, "open", setting="playground", quiet=True): Operation(
            id="playgroundFile",
            tag="Playground",
            summary="What that page is made of",
            parameters={"file": "the path of the file, which may hold slashes"},
            answers={200: Answer("The file.", content_types=("text/css", "text/javascript", "image/svg+xml", HTML))},
            errors=(errors.PathNotFoundError,),
        ),
    }
)
