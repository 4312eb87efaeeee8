"""Reading what a router streams."""

import json
from typing import Any


async def events(router: Any, path: str, body: dict[str, Any]) -> list[Any]:
    """The data of each event of a streamed reply; comments as they are."""
    async with router.http.post(f"{router.url}{path}", json={**body, "stream": True}) as response:
        assert response.status == 200
        text = (await response.read()).decode()
    assert text.endswith("data: [DONE]\n\n")
    lines = [line.removeprefix("data: ") for line in text.split("\n\n")[:-2]]
    return [line if line.startswith(":") else json.loads(line) for line in lines]
