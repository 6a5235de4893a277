"""
A gateway for a language model: tokens per minute and per month by plan, streamed answers, settled by what was used.

Each request reserves an estimate: the prompt, and the first `CHUNK` tokens of the answer. While the model writes, the
gateway reserves the next chunk before it passes the last one on. If a budget is gone, it ends the stream properly,
with `finish_reason: length`, and stops reading from the model. At the end it commits what was really used. A process
that dies leaves its chunk: of the month until the reservation lapses, of a minute until that has passed.

    MODEL_URL=http://127.0.0.1:8001 ENTITLEMENTS_STORE=redis://localhost uvicorn --app-dir examples/llm_gateway gateway:app
"""

from __future__ import annotations

import json
import os
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import JSONResponse, StreamingResponse
from starlette.routing import Route as Endpoint

from entitlements import AsyncEnforcer, Policy
from entitlements.http.asgi import EntitlementsMiddleware
from entitlements.http.identify import api_key
from entitlements.http.routes import Route

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.requests import Request

    from entitlements.handles import AsyncBoundAccount
    from entitlements.reservations import AsyncReservation

MODEL = os.environ.get("MODEL_URL", "http://127.0.0.1:8001")
STORE = os.environ.get("ENTITLEMENTS_STORE", "memory://")
TTL = float(os.environ.get("RESERVATION_TTL", "60"))
CHUNK = 50
"""Tokens of an answer that are reserved at a time."""
KEYS = {"free-key": "ada", "pro-key": "grace"}
ACCOUNTS = {"ada": "free", "grace": "pro"}

enforcer = AsyncEnforcer(
    Policy.load(Path(__file__).with_name("policy.yaml")), accounts=ACCOUNTS, store=STORE, expected_processes=1
)


def budgets(tokens: int) -> dict[str, int]:
    """Return so many tokens of the minute and of the month."""
    return {"tokens-per-minute": tokens, "tokens": tokens}


def read_body(text: bytes) -> dict[str, Any]:
    """
    Return a question: its prompt, and as many tokens as its answer may have.

    Raises:
        ValueError: For a body that is no JSON, or no question.
    """
    try:
        body = json.loads(text)
    except ValueError:
        raise ValueError('the body is no JSON; send {"prompt": "tell me a story"}') from None
    if not isinstance(body, dict) or not isinstance(body.get("prompt"), str) or not body["prompt"].strip():
        raise ValueError('the body has no prompt; send {"prompt": "tell me a story"}')
    tokens = body.get("tokens", 20)
    if type(tokens) is not int or tokens < 0:
        raise ValueError("tokens is no whole number of 0 or more; leave it out for 20")
    return body


async def chat(request: Request) -> JSONResponse | StreamingResponse:
    """Pass a prompt on to the model, and stream its answer; nothing is reserved for a body that is no question."""
    try:
        body = read_body(await request.body())
    except ValueError as error:
        return JSONResponse({"error": str(error)}, status_code=400)
    prompt = len(body["prompt"].split())
    account = request.state.account
    held = await account.reserve(budgets(prompt + CHUNK), ttl=TTL)
    if not held:
        decision = held.decision
        return JSONResponse({"error": str(decision.reason), "limit": decision.feature}, status_code=429)
    return StreamingResponse(answer(account, held, body, prompt), media_type="text/event-stream")


async def answer(
    account: AsyncBoundAccount, held: AsyncReservation, body: dict[str, object], prompt: int
) -> AsyncIterator[str]:
    """Yield the events of one answer; what the model wrote is settled, however the stream ends."""
    spent, room, written, finish = prompt, prompt + CHUNK, 0, "error"  # of the reservation; of the answer
    try:
        async with (
            httpx.AsyncClient(timeout=30) as client,
            client.stream("POST", f"{MODEL}/generate", json=body) as model,
        ):
            model.raise_for_status()
            async for line in model.aiter_lines():
                word = json.loads(line)
                if word["done"]:
                    finish = "stop"
                    break
                if spent == room:
                    await held.commit()
                    held = await account.reserve(budgets(CHUNK), ttl=TTL)
                    if not held:  # a budget is gone: leaving the block stops the model
                        finish = "length"
                        break
                    spent, room = 0, CHUNK
                spent, written = spent + 1, written + 1
                yield f"data: {json.dumps({'token': word['token']})}\n\n"
    except httpx.HTTPError as error:
        print(f"the model failed: {error!r}")
    finally:  # also where the client has gone
        if held:
            await held.commit(budgets(spent))
    yield f"data: {json.dumps({'finish_reason': finish, 'usage': {'prompt': prompt, 'completion': written}})}\n\n"
    yield "data: [DONE]\n\n"


@asynccontextmanager
async def lifespan(_: Starlette) -> AsyncIterator[None]:
    """Close the store at the end."""
    async with enforcer:
        yield


app = Starlette(
    routes=[Endpoint("/v1/chat", chat, methods=["POST"])],
    lifespan=lifespan,
    middleware=[
        Middleware(
            EntitlementsMiddleware,
            enforcer=enforcer,
            identify=api_key(KEYS),
            routes=[Route("/v1/chat", methods={"POST"}, consumes={"requests-per-minute": 1})],
        )
    ],
)
