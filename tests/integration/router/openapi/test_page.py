"""The page shows all that the document says, and asks nobody for anything."""

import base64
import hashlib
import json
import re
from html.parser import HTMLParser
from typing import Any

import pytest

from router.endpoints.documentation import HEADERS
from router.openapi.document import openapi_document
from router.openapi.page import page
from router.routes import TABLE

DOCUMENT = openapi_document(TABLE)
PAGE = page(DOCUMENT)
POLICY = HEADERS["Content-Security-Policy"]


class Read(HTMLParser):
    """The tags with their attributes, and the text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


READ = Read(PAGE)
TEXT = " ".join(READ.text.split())


def spoken(text: str) -> str:
    return " ".join(text.replace("`", "").split())


@pytest.mark.parametrize("path", DOCUMENT["paths"])
def test_it_shows_every_path_and_what_it_answers(path: str) -> None:
    assert path in TEXT
    for operation in DOCUMENT["paths"][path].values():
        assert spoken(operation["summary"]) in TEXT
        assert spoken(operation.get("description", "")) in TEXT
        for status, answer in operation["responses"].items():
            assert status in TEXT
            assert all(spoken(line) in TEXT for line in answer["description"].splitlines())


@pytest.mark.parametrize("name", DOCUMENT["components"]["schemas"])
def test_it_shows_every_field_with_its_meaning_and_default(name: str) -> None:
    schema = DOCUMENT["components"]["schemas"][name]
    _, _, rest = PAGE.partition(f'id="schema-{name}"')
    article = " ".join(Read(rest.partition("</article>")[0]).text.split())
    assert spoken(schema.get("description", "")) in article
    for field, described in schema["properties"].items():
        meaning = spoken(described.get("description", ""))
        assert field in article
        assert meaning in article or "not supported" in meaning
        assert "default" not in described or json.dumps(described["default"]) in article


def test_it_shows_types_as_links_to_what_they_are() -> None:
    ids = {attributes["id"] for _, attributes in READ.tags if "id" in attributes}
    links = {attributes["href"] for tag, attributes in READ.tags if tag == "a"}
    assert links - {"openapi.json"} <= {f"#{one}" for one in ids}
    assert "#schema-ChatCompletionChunk" in links
    assert "integer (1 to 128)" in TEXT
    assert "list (1 to 4096 items) of Message" in TEXT


def test_it_shows_every_example() -> None:
    shown = "".join(READ.text.split())
    for methods in DOCUMENT["paths"].values():
        for operation in methods.values():
            asked = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
            examples: list[Any] = [example["value"] for example in asked.get("examples", {}).values()]
            examples.append(operation["responses"]["200"]["content"].get("application/json", {}).get("example"))
            assert all("".join(json.dumps(example).split()) in shown for example in examples if example)
    assert '"tokens": [290, 220, 81, 72, 85, 68, 81]' in READ.text


def test_it_refers_to_nothing_elsewhere() -> None:
    for tag, attributes in READ.tags:
        assert tag not in {"script", "link", "img", "iframe", "object", "embed", "base", "form"}
        assert not attributes.keys() & {"src", "srcset", "style", "action", "background"}
        assert not any(name.startswith("on") for name in attributes)
    assert not re.search(r"//\w", PAGE)
    assert not re.search(r"url\(|@import", PAGE)


def test_its_policy_lets_nothing_in_but_its_own_style() -> None:
    (style,) = re.findall(r"<style>(.*?)</style>", PAGE, flags=re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = dict(directive.split(" ", 1) for directive in POLICY.split("; "))
    assert policy["default-src"] == "'none'"
    assert policy["style-src"] == f"'sha256-{digest}'"
    assert "unsafe" not in POLICY


def test_what_a_document_says_cannot_become_markup() -> None:
    evil = {**DOCUMENT, "info": {**DOCUMENT["info"], "title": "<b>`<i>`</b>", "description": "`<u>` <script>"}}
    assert not {"b", "i", "u", "script"} & {tag for tag, _ in Read(page(evil)).tags}


async def test_it_is_served(start_router: Any) -> None:
    router = await start_router(wait=False)
    async with router.http.get(f"{router.url}/docs") as response:
        assert (response.status, response.content_type, response.charset) == (200, "text/html", "utf-8")
        assert response.headers["Content-Security-Policy"] == POLICY
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert await response.text() == PAGE


async def test_so_is_the_document(start_router: Any) -> None:
    router = await start_router(wait=False)
    assert await router.get("/openapi.json") == (200, DOCUMENT)
