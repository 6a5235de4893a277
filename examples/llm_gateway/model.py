"""
A model server that only repeats words, for trying the gateway: each answer has as many tokens as it is asked for.

    uvicorn --app-dir examples/llm_gateway model:app --port 8001
"""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.responses import StreamingResponse
from starlette.routing import Route

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.requests import Request


async def generate(request: Request) -> StreamingResponse:
    """Stream `tokens` words, one line of JSON each, with a pause of `pause` seconds between them."""
    body = await request.json()

    async def words() -> AsyncIterator[str]:
        for at in range(body.get("tokens", 20)):
            yield json.dumps({"token": f"word-{at}", "done": False}) + "\n"
            await asyncio.sleep(body.get("pause", 0))
        yield json.dumps({"done": True}) + "\n"

    return StreamingResponse(words(), media_type="application/x-ndjson")


app = Starlette(routes=[Route("/generate", generate, methods=["POST"])])
