"""What every request gets, whatever becomes of it: an id, OpenAI's error object if it fails, and a line in the log."""

import asyncio
import re
import time
import uuid
from collections.abc import Awaitable, Callable

import structlog
from aiohttp import hdrs, web

from router.errors import (
    BodyTooLargeError,
    ExpectationFailedError,
    InternalError,
    InvalidValueError,
    MethodNotAllowedError,
    PathNotFoundError,
    RouterError,
    answer_to,
    body_of,
)
from router.http.paths import path_meant
from router.http.routing import ROUTES
from router.services import FACTS, REQUEST_ID

log = structlog.get_logger(__name__)

REQUEST_ID_HEADER = "x-request-id"
ACCEPTABLE_ID = re.compile(r"[\w.-]{1,128}", re.ASCII)
CLIENT_LEFT = 499

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@web.middleware
async def identify_and_log(request: web.Request, handler: Handler) -> web.StreamResponse:
    given = request.headers.get(REQUEST_ID_HEADER, "")
    request[REQUEST_ID] = given if ACCEPTABLE_ID.fullmatch(given) else new_request_id()
    request[FACTS] = {}
    started = time.perf_counter()
    status = CLIENT_LEFT
    with structlog.contextvars.bound_contextvars(request_id=request[REQUEST_ID]):
        try:
            response = await handler(request)
            status = response.status
        except ConnectionError as error:
            raise asyncio.CancelledError from error  # writing to a client that left is no failure
        finally:
            # Soon, and not now: a whole reply is sent when this has returned, and need not wait for its line.
            asyncio.get_running_loop().call_soon(_log_request, request, status, time.perf_counter() - started)
    return response


@web.middleware
async def answer_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except RouterError as error:
        return _tell(request, error)
    except web.HTTPException as error:
        response = _tell(request, from_http(request, error))
        if "Allow" in error.headers:
            response.headers["Allow"] = error.headers["Allow"]
        return response
    except ConnectionError:
        raise
    except Exception:
        log.exception("unexpected error")
        return _tell(request, InternalError())


async def echo_request_id(request: web.Request, response: web.StreamResponse) -> None:
    """Runs as any response is about to be sent, streams included."""
    if REQUEST_ID in request:
        response.headers[REQUEST_ID_HEADER] = request[REQUEST_ID]


def new_request_id() -> str:
    return uuid.uuid4().hex


def error_response(error: RouterError) -> web.Response:
    return web.json_response(body_of(error), status=answer_to(error).status, headers=error.headers)


def from_http(request: web.BaseRequest, error: web.HTTPException) -> RouterError:
    """The web server's own refusals, in our words."""
    if isinstance(error, web.HTTPNotFound):
        meant = path_meant(request)
        hint = f" Did you mean {meant}?" if meant else ""
        return PathNotFoundError(f"There is nothing at {request.method} {_path(request)}.{hint}")
    if isinstance(error, web.HTTPMethodNotAllowed):
        allowed = ", ".join(sorted(error.allowed_methods))
        return MethodNotAllowedError(f"{_path(request)} does not take {request.method}; it takes {allowed}.")
    if isinstance(error, web.HTTPRequestEntityTooLarge):
        return BodyTooLargeError("The request body is larger than this server reads.")
    if isinstance(error, web.HTTPExpectationFailed):
        return ExpectationFailedError("The Expect header may say nothing but 100-continue.")
    return InvalidValueError(error.reason)


def _log_request(request: web.Request, status: int, seconds: float) -> None:
    preflight = request.method == hdrs.METH_OPTIONS and status == 204  # noqa: PLR2004 - nothing else is answered so
    route = request.app[ROUTES].near(request)
    level = log.debug if preflight or (route and route.quiet) else log.info
    level(
        "request",
        method=request.method,
        path=_path(request),
        status=status,
        milliseconds=round(seconds * 1000, 1),
        **request[FACTS],
    )


def _tell(request: web.Request, error: RouterError) -> web.Response:
    answer = answer_to(error)
    request[FACTS]["error"] = answer.name
    return error_response(error)


def _path(request: web.BaseRequest) -> str:
    """As it was sent: decoded, it could hold line breaks and pass for other lines of the log."""
    return request.rel_url.raw_path[:200]
