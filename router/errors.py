"""What can go wrong with a request, and what its sender is told.

    RouterError
    ├── ClientError                 the sender can mend it
    │   ├── InvalidHttpError
    │   ├── InvalidJsonError
    │   ├── InvalidValueError
    │   ├── UnsupportedParameterError
    │   ├── ContextLengthExceededError
    │   ├── ModelNotFoundError
    │   ├── PathNotFoundError
    │   ├── MethodNotAllowedError
    │   ├── RequestTimeoutError
    │   ├── BodyTooLargeError
    │   ├── UnsupportedMediaTypeError
    │   └── ExpectationFailedError
    └── ServiceError                trying again later may help
        ├── ServerOverloadedError
        ├── QueueTimeoutError
        ├── NoHealthyWorkersError
        ├── DrainingError
        ├── BadWorkerResponseError
        ├── DeadlineExceededError
        └── InternalError

A message is read by users: it names what was wrong and what to do, and never shows a path, a repr or a traceback.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final

import grpc


class RouterError(Exception):
    def __init__(self, message: str, *, param: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.param = param


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


class ServiceError(RouterError):
    def __init__(self, message: str = "") -> None:
        super().__init__(message or ANSWERS[type(self)].message)


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


@dataclass(frozen=True, slots=True)
class Answer:
    """How one kind of error looks over HTTP."""

    status: int
    code: str | None
    type: str = "invalid_request_error"
    message: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)


def _failure(status: int, code: str, message: str, **headers: str) -> Answer:
    return Answer(
        status, code, "server_error", message, {name.replace("_", "-"): text for name, text in headers.items()}
    )


ANSWERS: Final[Mapping[type[RouterError], Answer]] = MappingProxyType(
    {
        InvalidHttpError: Answer(400, "invalid_http"),
        InvalidJsonError: Answer(400, "invalid_json"),
        InvalidValueError: Answer(400, "invalid_value"),
        UnsupportedParameterError: Answer(400, "unsupported_parameter"),
        ContextLengthExceededError: Answer(400, "context_length_exceeded"),
        ModelNotFoundError: Answer(404, "model_not_found"),
        PathNotFoundError: Answer(404, None),
        MethodNotAllowedError: Answer(405, None),
        # OpenAI's client would send the request three times, and wait as long each time.
        RequestTimeoutError: Answer(408, "request_timeout", headers={"x-should-retry": "false", "Connection": "close"}),
        BodyTooLargeError: Answer(413, "request_too_large"),
        UnsupportedMediaTypeError: Answer(415, "unsupported_media_type"),
        ExpectationFailedError: Answer(417, None),
        ServerOverloadedError: _failure(
            503, "server_overloaded", "The server is busy with other requests. Try again shortly.", Retry_After="1"
        ),
        QueueTimeoutError: _failure(
            503, "queue_timeout", "The request waited too long for its turn. Try again later.", Retry_After="5"
        ),
        NoHealthyWorkersError: _failure(
            503, "no_healthy_workers", "No worker can serve this model at the moment. Try again later.", Retry_After="2"
        ),
        DrainingError: _failure(503, "draining", "The server is shutting down.", Retry_After="2", Connection="close"),
        BadWorkerResponseError: _failure(502, "bad_worker_response", "A worker sent an answer that makes no sense."),
        DeadlineExceededError: _failure(
            504, "timeout", "The request took longer than this server allows.", x_should_retry="false"
        ),
        InternalError: _failure(500, "internal_error", "Something went wrong inside the server."),
    }
)

# Every other status is the worker's or our own mistake: InternalError.
GRPC_ERRORS: Final[Mapping[grpc.StatusCode, type[ServiceError]]] = MappingProxyType(
    {
        grpc.StatusCode.RESOURCE_EXHAUSTED: ServerOverloadedError,
        grpc.StatusCode.UNAVAILABLE: NoHealthyWorkersError,
        grpc.StatusCode.CANCELLED: NoHealthyWorkersError,
        grpc.StatusCode.DEADLINE_EXCEEDED: DeadlineExceededError,
    }
)

# Where a field of the worker's has another name than the one that clients give it.
PARAMS: Final[Mapping[str, str]] = MappingProxyType({"gen_length": "max_tokens", "prompt": "messages"})


def from_grpc(error: grpc.aio.AioRpcError) -> RouterError:
    """What a failed call means to the client; only a refused argument speaks in the worker's words."""
    if error.code() is grpc.StatusCode.INVALID_ARGUMENT:
        return _refused_argument(error.details() or "The worker refused the request.")
    return GRPC_ERRORS.get(error.code(), InternalError)()


def _refused_argument(details: str) -> InvalidValueError:
    """Workers refuse in the form "field: reason"."""
    field_name, colon, reason = details.partition(": ")
    if not (colon and field_name.isidentifier()):
        return InvalidValueError(details)
    param = PARAMS.get(field_name, field_name)
    return InvalidValueError(f"{param}: {reason}", param=param)


def answer_to(error: RouterError) -> Answer:
    return ANSWERS[type(error)]


def body_of(error: RouterError) -> dict[str, Any]:
    """OpenAI's error object, all four keys."""
    answer = answer_to(error)
    return {"error": {"message": error.message, "type": answer.type, "param": error.param, "code": answer.code}}
