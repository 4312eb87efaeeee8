"""Reading what a router streams."""

import json
from typing import Any


async def events(router: Any, path: str, body: dict[str, Any]) -> list[Any]:
    """The data of each event of a streamed reply."""
    async with router.http.post(f"{router.url}{path}", json={**body, "stream": True}) as response:
        assert response.status == 200
        text = (await response.read()).decode()
    assert text.endswith("data: [DONE]\n\n")
    data = [line.removeprefix("data: ") for line in text.splitlines() if line.startswith("data: ")]
    return [json.loads(each) for each in data[:-1]]
