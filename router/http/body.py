"""Reads a request's body, or refuses it before it is read."""

import asyncio

from aiohttp import web

from router.errors import BodyTooLargeError, InvalidJsonError, RequestTimeoutError, UnsupportedMediaTypeError
from router.services import SERVICES

ENCODINGS = ("", "identity", "gzip", "deflate")
ENCODINGS_SENTENCE = "The Content-Encoding may only be gzip or deflate."


async def read_body(request: web.Request) -> bytes:
    """Raises a `ClientError`, at the latest when the time that a request may take is over.

    Only JSON by name: a browser lets any page post plain text to a server on the same machine without asking it first.
    """
    if request.content_type != "application/json":
        raise UnsupportedMediaTypeError("The Content-Type must be application/json.")
    if request.headers.get("Content-Encoding", "").lower() not in ENCODINGS:
        raise UnsupportedMediaTypeError(ENCODINGS_SENTENCE)
    settings = request.app[SERVICES].settings
    limit, seconds = settings.max_body_bytes, settings.request_timeout_seconds
    if request.content_length is not None and request.content_length > limit:
        raise BodyTooLargeError(
            f"The request body is {request.content_length} bytes long; this server reads at most {limit}."
        )
    try:
        if request.content.is_eof():  # it came with the head, as most do
            return await request.read()
        return await asyncio.wait_for(request.read(), seconds)
    except TimeoutError as error:
        raise RequestTimeoutError(f"The request body did not arrive within {seconds:g} seconds.") from error
    except web.RequestPayloadError as error:
        raise InvalidJsonError("The request body ended early or cannot be read.") from error
