"""Refunds of FastAPI's `consume` after a response has started or is complete."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import Annotated

import httpx
import pytest
from fastapi import BackgroundTasks, Depends, FastAPI, HTTPException, Request
from fastapi.responses import StreamingResponse
from trade import policy
from webserver import exchange, serving

from entitlements import AsyncEnforcer, Decision
from entitlements.http.asgi import AccountMiddleware
from entitlements.http.eager import checked
from entitlements.http.fastapi import consume, install

Charge = Annotated[Decision, Depends(consume("leads", 2))]


class Site:
    """An application with endpoints that fail in different ways, and the usage of its account."""

    def __init__(self):
        self.enforcer = AsyncEnforcer(policy(), accounts={"pro": "pro"})
        self.app = app = FastAPI()
        self.begun = asyncio.Event()
        install(app)
        app.add_middleware(checked(AccountMiddleware, enforcer=self.enforcer, identify=lambda _: "pro"))

        def fail(status):
            raise HTTPException(status) if status else RuntimeError("in the background")

        @app.get("/background")
        async def background(tasks: BackgroundTasks, _: Charge, status: int = 0) -> int:
            tasks.add_task(fail, status)
            return 1

        async def endless():
            while True:
                yield b"x"
                await asyncio.sleep(0.02)

        async def broken():
            yield b"x"
            raise RuntimeError("no second chunk")

        @app.get("/endless")
        async def streaming(_: Charge) -> StreamingResponse:
            return StreamingResponse(endless())

        @app.get("/broken")
        async def breaking(_: Charge) -> StreamingResponse:
            return StreamingResponse(broken())

        @app.get("/minding")
        async def minding(request: Request, _: Charge) -> StreamingResponse:
            async def until_nobody_listens():
                yield b"x"
                if await request.is_disconnected():
                    raise RuntimeError("nobody listens")

            return StreamingResponse(until_nobody_listens())

        @app.get("/hanging")
        async def hanging(_: Charge) -> None:
            self.begun.set()
            await asyncio.sleep(60)

    def used(self):
        return asyncio.run(self.enforcer.usage("pro"))["leads"].used

    def stays_at(self, expected):
        """Wait until the application has finished the request; return True if the usage is *expected*."""
        time.sleep(0.3)
        return self.used() == expected


@pytest.fixture
def site():
    return Site()


@pytest.mark.parametrize("query", ["", "?status=503", "?status=404"])
def test_a_background_task_that_fails_after_a_complete_response_gives_nothing_back(site, query):
    with serving(site.app, log_level="critical") as url:
        assert 200 == httpx.get(f"{url}/background{query}").status_code
        assert site.stays_at(2)


def test_a_server_that_stops_in_the_middle_of_a_response_gives_nothing_back(site):
    with httpx.Client() as client:
        with serving(site.app, log_level="critical", timeout_graceful_shutdown=1) as url:
            response = client.send(client.build_request("GET", f"{url}/endless"), stream=True)
            chunks = response.iter_raw(1)  # an iterator that is dropped closes its connection
            assert b"x" == next(chunks)
        assert site.stays_at(2)


async def served(site, path, *events):
    """
    Serve a request, and let it raise.

    By ASGI 2.4 Starlette's streams do not listen themselves for clients that hang up.
    """

    async def sent(message):
        if message["type"] == "http.response.body":
            site.begun.set()

    with contextlib.suppress(RuntimeError):
        await exchange(site.app, *events, send=sent, path=path, asgi={"version": "3.0", "spec_version": "2.4"})


async def cancelled(site, path):
    """Serve a request, and cancel it once its endpoint or its response has started."""
    task = asyncio.create_task(served(site, path))
    await site.begun.wait()
    task.cancel()
    await asyncio.wait([task])


@pytest.mark.parametrize(("path", "used"), [("/endless", 2), ("/hanging", 0)])
def test_a_request_that_is_cancelled_gives_back_what_it_took_unless_its_response_has_begun(site, path, used):
    asyncio.run(cancelled(site, path))

    assert used == site.used()


def test_a_response_that_breaks_off_by_itself_gives_its_units_back(site):
    asyncio.run(served(site, "/broken"))

    assert 0 == site.used()


def test_a_response_that_is_given_up_because_the_client_hung_up_gives_nothing_back(site):
    asyncio.run(served(site, "/minding", {"type": "http.disconnect"}))

    assert 2 == site.used()
