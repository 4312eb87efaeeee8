"""The code in the README, and in the page about clients, that asks a server."""

import re

from testing.folders import ROOT

DOCUMENTED_URL = "http://localhost:3001/v1"


PAGES = ("README.md", "docs/clients.md")


def snippets(language: str) -> list[str]:
    """In their order."""
    text = "".join((ROOT / page).read_text() for page in PAGES)
    blocks = re.findall(rf"^```{language}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    return [block for block in blocks if DOCUMENTED_URL in block]


def asking(url: str, snippet: str) -> str:
    """The same code, asking another server."""
    return snippet.replace(DOCUMENTED_URL, url)


def promised_output(snippet: str) -> str:
    """What the comment beside its only call that prints says."""
    comments: list[str] = re.findall(r"(?:\)  #|\); //) (.*)$", snippet, re.MULTILINE)
    assert len(comments) == 1
    return comments[0]
