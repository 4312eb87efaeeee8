"""Answers that only a server could give that is none of ours, or would take long to give: by their events."""

import json
from math import log
from typing import Any

from playwright.async_api import Page, Route

from router.openapi.examples import MODEL

CHAT = "**/v1/chat/completions"
MODELS = "**/v1/models"
COMES_BACK = "document.dispatchEvent(new Event('visibilitychange'))"  # to the page, which asks for the models of now


async def offer_models(page: Page, models: dict[str, dict[str, Any]], longest: int = 1024) -> None:
    """Lists models, each with defaults that differ so from the usual ones."""
    cards = [
        {"id": name, "max_model_len": longest, "defaults": MODEL["defaults"] | own, "options": MODEL["options"]}
        for name, own in models.items()
    ]
    await page.route(MODELS, lambda route: route.fulfill(json={"data": cards}))


async def answer_with(page: Page, *events: object, done: bool = True) -> list[Any]:
    """Answers every chat with these events, and gives the list of bodies that are going to be sent."""
    data = [*map(json.dumps, events), *(["[DONE]"] if done else [])]
    bodies: list[Any] = []

    async def answer(route: Route) -> None:
        bodies.append(route.request.post_data_json)
        stream = "".join(f"data: {one}\n\n" for one in data)
        await route.fulfill(content_type="text/event-stream", body=stream)

    await page.route(CHAT, answer)
    return bodies


def chunk(text: str = "", **fields: object) -> dict[str, object]:
    return {"choices": [{"index": 0, "delta": {"content": text}, "finish_reason": None}], **fields}


def canvas(step: int, tokens: list[str | None], *committed: int, probability: float = 1.0) -> dict[str, object]:
    """After a step that committed these positions."""
    told = [committed_token(position, tokens[position] or "", probability) for position in committed]
    return {"step": step, "tokens": tokens, "committed": told}


def committed_token(position: int, token: str, probability: float = 1.0) -> dict[str, Any]:
    told = {"token": token, "logprob": log(probability), "bytes": []}
    return {**told, "position": position, "top_logprobs": [told]}


def usage(tokens: int, forward_passes: int) -> dict[str, object]:
    details = {"forward_passes": forward_passes}
    return {"choices": [], "usage": {"completion_tokens": tokens, "completion_tokens_details": details}}
