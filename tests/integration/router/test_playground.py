import re
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import structlog.testing

from router.playground.files import FOLDER, page_files
from testing.waiting import eventually
from textdiffusion.router_settings import RouterSettings

FILES = sorted(page_files())
DEVELOPED = sorted(file.relative_to(FOLDER).as_posix() for file in FOLDER.rglob("*") if file.is_file())
MOST_LINES = 200


def policy_of(response: aiohttp.ClientResponse) -> dict[str, str]:
    directives = response.headers["Content-Security-Policy"].split("; ")
    return dict(directive.split(" ", 1) for directive in directives)


def test_whatever_is_in_the_folder_is_served() -> None:
    assert FILES == DEVELOPED


@pytest.mark.parametrize("name", FILES)
def test_a_file_is_small_enough_to_be_read(name: str) -> None:
    assert page_files()[name].content.count(b"\n") <= MOST_LINES


@pytest.mark.parametrize("name", FILES)
def test_no_file_needs_anything_from_elsewhere_or_makes_markup_of_text(name: str) -> None:
    text = page_files()[name].content.decode().replace('xmlns="http://www.w3.org/2000/svg"', "")
    assert not re.search(r"https?://|innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|style=", text)


@pytest.mark.parametrize("name", [name for name in FILES if name.endswith(".js")])
def test_a_module_imports_what_there_is_and_is_imported(name: str) -> None:
    texts = {other: page_files()[other].content.decode() for other in FILES if other.endswith(".js")}
    for imported in re.findall(r'from "\./([^"]+)"', texts[name]):
        assert f"scripts/{imported}" in texts
    users = [other for other, text in texts.items() if f'"./{Path(name).name}"' in text]
    assert users or name == "scripts/main.js"


async def test_the_page_is_served_with_a_policy_that_lets_only_its_own_files_run(start_router: Any) -> None:
    router = await start_router(wait=False)
    async with router.http.get(f"{router.url}/") as response:
        assert (response.status, response.content_type, response.charset) == (200, "text/html", "utf-8")
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        policy = policy_of(response)
        assert policy["default-src"] == policy["frame-ancestors"] == policy["base-uri"] == "'none'"
        assert policy["script-src"] == policy["style-src"] == "'self'"
        assert policy["require-trusted-types-for"] == "'script'"
        assert "unsafe" not in str(policy)
        assert await response.read() == page_files()["index.html"].content


@pytest.mark.parametrize("name", FILES)
async def test_a_file_is_served_compressed_as_what_it_is(start_router: Any, name: str) -> None:
    router = await start_router(wait=False)
    async with router.http.get(f"{router.url}/playground/{name}", headers={"Accept-Encoding": "gzip"}) as response:
        assert response.status == 200
        assert response.headers["Content-Encoding"] == "gzip"
        assert response.headers["Vary"] == "Accept-Encoding"
        assert response.content_type == page_files()[name].content_type
        assert "default-src" in policy_of(response)
        assert await response.read() == page_files()[name].content


async def test_a_file_that_a_browser_has_already_is_not_sent_again(start_router: Any) -> None:
    router = await start_router(wait=False)
    url = f"{router.url}/playground/scripts/main.js"
    async with router.http.get(url) as response:
        tag = response.headers["ETag"]
    async with router.http.get(url, headers={"If-None-Match": f'"other", {tag}'}) as response:
        assert (response.status, await response.read()) == (304, b"")
        assert response.headers["ETag"] == tag
    async with router.http.get(url, headers={"If-None-Match": '"other"'}) as response:
        assert response.status == 200


@pytest.mark.parametrize(
    "path", ["nothing.js", "scripts", "scripts/", "../files.py", "%2e%2e/files.py", "..%2f..%2fapp.py"]
)
async def test_there_is_nothing_else_to_be_had(start_router: Any, path: str) -> None:
    router = await start_router(wait=False)
    async with router.http.get(f"{router.url}/playground/{path}") as response:
        assert response.status == 404
        assert (await response.json())["error"]["type"] == "invalid_request_error"


async def test_it_needs_no_key_even_where_the_rest_does(start_router: Any) -> None:
    router = await start_router(wait=False, api_keys={"alice": "sk-alice"})
    for path, status in {"/": 200, "/playground/scripts/main.js": 200, "/v1/models": 401}.items():
        async with router.http.get(f"{router.url}{path}") as response:
            assert response.status == status, path


async def test_it_can_be_turned_off(start_router: Any) -> None:
    router = await start_router(wait=False, playground=False)
    for path in ("/", "/playground/index.html"):
        assert (await router.get(path))[0] == 404


def test_it_is_on_unless_it_is_turned_off() -> None:
    assert RouterSettings().playground


async def test_its_files_do_not_bury_the_rest_of_the_log(start_router: Any) -> None:
    router = await start_router(wait=False)
    with structlog.testing.capture_logs() as lines:
        for path in ("/playground/scripts/main.js", "/"):
            async with router.http.get(f"{router.url}{path}") as response:
                await response.read()
        await eventually(lambda: len(lines) == 2)
    assert {line["path"]: line["log_level"] for line in lines} == {"/playground/scripts/main.js": "debug", "/": "info"}
