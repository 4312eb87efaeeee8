"""Reads a request's body, or refuses it before it is read."""

from aiohttp import web

from router.errors import BodyTooLargeError, InvalidJsonError, UnsupportedMediaTypeError
from router.services import SERVICES


async def read_body(request: web.Request) -> bytes:
    """Raises a `ClientError`.

    Only JSON by name: a browser lets any page post plain text to a server on the same machine without asking it first.
    """
    if request.content_type != "application/json":
        raise UnsupportedMediaTypeError("The Content-Type must be application/json.")
    limit = request.app[SERVICES].settings.max_body_bytes
    if request.content_length is not None and request.content_length > limit:
        raise BodyTooLargeError(
            f"The request body is {request.content_length} bytes long; this server reads at most {limit}."
        )
    try:
        return await request.read()
    except web.RequestPayloadError as error:
        raise InvalidJsonError("The request body ended early or cannot be read.") from error
