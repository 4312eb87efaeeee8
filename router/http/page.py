"""The headers of pages for people, whatever is on them."""

from collections.abc import Mapping
from typing import Final

NOTHING: Final[Mapping[str, str]] = {
    "default-src": "'none'",
    "base-uri": "'none'",
    "form-action": "'none'",
    "frame-ancestors": "'none'",
}


def page_headers(**allowed: str) -> dict[str, str]:
    """A policy that allows nothing but what is named, as in `script_src="'self'"`.

    Whatever got into a page otherwise, be it out of a model, would neither run nor reach anyone.
    """
    policy = {**NOTHING, **{name.replace("_", "-"): sources for name, sources in allowed.items()}}
    return {
        "Content-Security-Policy": "; ".join(f"{name} {sources}" for name, sources in policy.items()),
        "Referrer-Policy": "no-referrer",
        "X-Content-Type-Options": "nosniff",
    }
