"""What can go wrong with a request, and what its sender is told: the one table of it.

    RouterError
    ├── ClientError                 the sender can mend it
    │   ├── InvalidHttpError
    │   ├── InvalidJsonError
    │   ├── InvalidValueError
    │   ├── UnsupportedParameterError
    │   ├── ContextLengthExceededError
    │   ├── InvalidApiKeyError
    │   ├── HostNotAllowedError
    │   ├── ModelNotFoundError
    │   ├── PathNotFoundError
    │   ├── MethodNotAllowedError
    │   ├── RequestTimeoutError
    │   ├── BodyTooLargeError
    │   ├── UnsupportedMediaTypeError
    │   ├── ExpectationFailedError
    │   └── RateLimitExceededError
    └── ServiceError                trying again later may help
        ├── ServerOverloadedError
        ├── QueueTimeoutError
        ├── NoHealthyWorkersError
        ├── DrainingError
        ├── BadWorkerResponseError
        ├── DeadlineExceededError
        └── InternalError

A message is read by users: it names what was wrong and what to do, and never shows a path, a repr or a traceback. The
documentation's page of errors is made from the table below, and so is the test that provokes each of them.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from types import MappingProxyType
from typing import Any, Final

import grpc

from textdiffusion.wire import CONTEXT_LENGTH

NO_HEADERS: Final[Mapping[str, str]] = MappingProxyType({})


class RouterError(Exception):
    """`headers` are sent beside those that every error of its kind has."""

    def __init__(self, message: str = "", *, param: str | None = None, headers: Mapping[str, str] = NO_HEADERS) -> None:
        super().__init__(message)
        self._message = message
        self.param = param
        self._headers = headers

    @property
    def message(self) -> str:
        return self._message or answer_to(self).message

    def call_param(self, name: str) -> None:
        """Give the field at fault the name that the client knows it by."""
        if self.param is not None and self._message.startswith(f"{self.param}:"):
            self._message = name + self._message.removeprefix(self.param)
        self.param = name

    @property
    def headers(self) -> dict[str, str]:
        return {**answer_to(self).headers, **self._headers}


class ClientError(RouterError):
    pass


class InvalidHttpError(ClientError):
    pass


class InvalidJsonError(ClientError):
    pass


class InvalidValueError(ClientError):
    pass


class UnsupportedParameterError(ClientError):
    pass


class ContextLengthExceededError(ClientError):
    pass


class InvalidApiKeyError(ClientError):
    pass


class HostNotAllowedError(ClientError):
    pass


class ModelNotFoundError(ClientError):
    pass


class PathNotFoundError(ClientError):
    pass


class MethodNotAllowedError(ClientError):
    pass


class RequestTimeoutError(ClientError):
    pass


class BodyTooLargeError(ClientError):
    pass


class UnsupportedMediaTypeError(ClientError):
    pass


class ExpectationFailedError(ClientError):
    pass


class RateLimitExceededError(ClientError):
    pass


class ServiceError(RouterError):
    """`retry_after` is in seconds: when this server expects that the same request would be taken."""

    def __init__(self, message: str = "", *, retry_after: float | None = None) -> None:
        super().__init__(message, headers=NO_HEADERS if retry_after is None else {"Retry-After": _whole(retry_after)})


class ServerOverloadedError(ServiceError):
    pass


class QueueTimeoutError(ServiceError):
    pass


class NoHealthyWorkersError(ServiceError):
    pass


class DrainingError(ServiceError):
    pass


class BadWorkerResponseError(ServiceError):
    pass


class DeadlineExceededError(ServiceError):
    pass


class InternalError(ServiceError):
    pass


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """How one kind of error looks over HTTP, when it happens, and which failures of a worker's call turn into it."""

    situation: str
    status: int
    code: str | None
    type: str = "invalid_request_error"
    message: str = ""  # where the error has no words of its own
    headers: Mapping[str, str] = field(default_factory=dict)
    varying_headers: tuple[str, ...] = ()  # whose values, or whether they are sent, the single case decides
    grpc_statuses: tuple[grpc.StatusCode, ...] = ()

    @property
    def name(self) -> str:
        """By which it is counted, logged and traced."""
        return self.code or self.type


_failure = partial(Answer, type="server_error")

ANSWERS: Final[Mapping[type[RouterError], Answer]] = MappingProxyType(
    {
        InvalidHttpError: Answer(
            situation="The request is not HTTP, or its URL or a header is too long or cannot be read.",
            status=400,
            code="invalid_http",
        ),
        InvalidJsonError: Answer(
            situation="The body is not a JSON object, or ended early.",
            status=400,
            code="invalid_json",
        ),
        InvalidValueError: Answer(
            situation="A field is unknown, missing, of the wrong type or out of range, or contradicts another one.",
            status=400,
            code="invalid_value",
            grpc_statuses=(grpc.StatusCode.INVALID_ARGUMENT,),
        ),
        UnsupportedParameterError: Answer(
            situation="A field, or a value of one, that OpenAI's API, vLLM or SGLang has and this server has not.",
            status=400,
            code="unsupported_parameter",
        ),
        ContextLengthExceededError: Answer(
            situation="Prompt, suffix and reply together are longer than the model holds.",
            status=400,
            code="context_length_exceeded",
        ),
        InvalidApiKeyError: Answer(
            situation="Keys are configured, and the request has none of them.",
            status=401,
            code="invalid_api_key",
            message="A valid API key is needed, in the header Authorization: Bearer KEY.",
            headers={"WWW-Authenticate": "Bearer"},
        ),
        HostNotAllowedError: Answer(
            situation="No keys are configured, and the Host header names neither this machine nor an allowed host.",
            status=403,
            code="host_not_allowed",
        ),
        ModelNotFoundError: Answer(
            situation="No worker serves a model of that name.",
            status=404,
            code="model_not_found",
        ),
        PathNotFoundError: Answer(
            situation="There is nothing at the path.",
            status=404,
            code=None,
        ),
        MethodNotAllowedError: Answer(
            situation="The path does not take the method; Allow says which it takes.",
            status=405,
            code=None,
            varying_headers=("Allow",),
        ),
        RequestTimeoutError: Answer(
            situation="The body did not arrive in time.",
            status=408,
            code="request_timeout",
            # OpenAI's client would send the request three times, and wait as long each time.
            headers={"x-should-retry": "false", "Connection": "close"},
        ),
        BodyTooLargeError: Answer(
            situation="The body is larger than this server reads.",
            status=413,
            code="request_too_large",
        ),
        UnsupportedMediaTypeError: Answer(
            situation="The body is not JSON by its Content-Type, or compressed in a way that cannot be undone.",
            status=415,
            code="unsupported_media_type",
        ),
        ExpectationFailedError: Answer(
            situation="The Expect header says anything but 100-continue.",
            status=417,
            code=None,
        ),
        RateLimitExceededError: Answer(
            situation="The key or, without keys, the address has used up its requests or tokens of this minute.",
            status=429,
            code="rate_limit_exceeded",
            type="rate_limit_error",
            varying_headers=("Retry-After", "x-should-retry"),
        ),
        ServerOverloadedError: _failure(
            situation="The model's queue is full, or the wait in it would be too long.",
            status=503,
            code="server_overloaded",
            message="The server is busy with other requests. Try again later.",
            headers={"Retry-After": "1"},
            grpc_statuses=(grpc.StatusCode.RESOURCE_EXHAUSTED,),
        ),
        QueueTimeoutError: _failure(
            situation="The request waited too long for its turn.",
            status=503,
            code="queue_timeout",
            message="The request waited too long for its turn. Try again later.",
            headers={"Retry-After": "5"},
        ),
        NoHealthyWorkersError: _failure(
            situation="No worker can serve the model at the moment.",
            status=503,
            code="no_healthy_workers",
            message="No worker can serve this model at the moment. Try again later.",
            headers={"Retry-After": "2"},
            grpc_statuses=(grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED),
        ),
        DrainingError: _failure(
            situation="The server is shutting down.",
            status=503,
            code="draining",
            message="The server is shutting down.",
            headers={"Retry-After": "2", "Connection": "close"},
        ),
        BadWorkerResponseError: _failure(
            situation="A worker sent what makes no sense.",
            status=502,
            code="bad_worker_response",
            message="A worker sent an answer that makes no sense.",
        ),
        DeadlineExceededError: _failure(
            situation="The request took longer than the server allows.",
            status=504,
            code="timeout",
            message="The request took longer than this server allows.",
            headers={"x-should-retry": "false"},
            grpc_statuses=(grpc.StatusCode.DEADLINE_EXCEEDED,),
        ),
        InternalError: _failure(
            situation="A mistake of this server's or of a worker's; the log says more.",
            status=500,
            code="internal_error",
            message="Something went wrong inside the server.",
        ),
    }
)

# Any other status is the worker's or our own mistake: InternalError.
GRPC_ERRORS: Final[Mapping[grpc.StatusCode, type[RouterError]]] = MappingProxyType(
    {code: kind for kind, answer in ANSWERS.items() for code in answer.grpc_statuses}
)


def from_grpc(error: grpc.aio.AioRpcError) -> RouterError:
    """What a failed call means to the client; only a refused argument speaks in the worker's words."""
    kind = GRPC_ERRORS.get(error.code(), InternalError)
    return _refused_argument(error.details() or "") if kind is InvalidValueError else kind()


def _refused_argument(details: str) -> ClientError:
    """Workers refuse in the form "field: reason"."""
    field_name, colon, reason = details.partition(": ")
    if not (colon and field_name.isidentifier()):
        return InvalidValueError(details or "The worker refused the request.")
    if reason.startswith(CONTEXT_LENGTH):
        return ContextLengthExceededError(f"{reason}.", param=field_name)
    return InvalidValueError(f"{field_name}: {reason}", param=field_name)


def answer_to(error: RouterError) -> Answer:
    return ANSWERS[type(error)]


def body_of(error: RouterError) -> dict[str, Any]:
    """OpenAI's error object, all four keys."""
    answer = answer_to(error)
    return {"error": {"message": error.message, "type": answer.type, "param": error.param, "code": answer.code}}


def _whole(seconds: float) -> str:
    return str(max(1, math.ceil(seconds)))
