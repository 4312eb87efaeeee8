"""The document as a page for people: HTML and its style in one, no script, nothing from elsewhere."""

import base64
import hashlib
import json
import re
from collections import defaultdict
from functools import partial
from pathlib import Path
from typing import Any, Final

import jinja2
from markupsafe import Markup, escape

from router.openapi.rows import Notation, is_request, rows, type_of
from router.schema.responses import Json

HERE: Final = Path(__file__).parent
STYLE: Final = (HERE / "page.css").read_text(encoding="utf-8")
STYLE_HASH: Final = f"'sha256-{base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()}'"  # for a policy


def page(document: Json) -> str:
    """The HTML of an OpenAPI document."""
    notation = Notation(
        reference=lambda name: Markup('<a href="#schema-{0}">{0}</a>').format(name),
        literal=lambda value: Markup("<code>{}</code>").format(value),
    )
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    resolve = partial(_resolve, document)
    environment.filters.update(inline=_inline, json=_json, codes=_codes, resolve=resolve)
    return environment.get_template("page.html").render(
        document=document,
        style=STYLE,
        by_tag=_by_tag(document),
        rows=lambda schema: rows(schema, notation),
        type=lambda schema: type_of(schema, notation),
        is_request=is_request,
        resolve=resolve,
        event=_event,
    )


def _by_tag(document: Json) -> dict[str, list[tuple[str, str, Json]]]:
    tags: dict[str, list[tuple[str, str, Json]]] = defaultdict(list)
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            tags[operation["tags"][0]].append((path, method, operation))
    return tags


def _resolve(document: Json, schema: Json) -> Json:
    found: Any = schema
    if "$ref" in schema:
        found = document
        for name in schema["$ref"].removeprefix("#/").split("/"):
            found = found[name]
    resolved: Json = found
    return resolved


def _event(schema: Json) -> Json:
    """What the data of an event is, in the schema of a stream."""
    _, told = schema["properties"]["data"]["anyOf"]
    return {"anyOf": told["contentSchema"]["oneOf"]}


def _codes(answer: Json) -> list[str]:
    """The codes of the errors that share a status."""
    return list(answer["content"].get("application/json", {}).get("examples", ()))


def _inline(text: str) -> Markup:
    """Backquoted words as code."""
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text))))  # noqa: S704 - escaped here


def _json(value: Any) -> str:
    """A field a line, but token ids side by side."""
    text = json.dumps(value, indent=2, ensure_ascii=False)
    return re.sub(r"\[[\d,\s]+\]", lambda ids: f"[{' '.join(ids[0][1:-1].split())}]", text)
