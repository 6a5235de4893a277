"""What FastAPI's `consume` gives back of a request whose response has begun, or is complete."""

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
from entitlements.http.fastapi import consume, install
from entitlements.http.starting import checked

Charge = Annotated[Decision, Depends(consume("leads", 2))]


class Place:
    """An application that answers in many ways, and the usage of its one account."""

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
        """Wait until the application is done with the request, and say whether *expected* is what is used."""
        time.sleep(0.3)
        return self.used() == expected


@pytest.fixture
def place():
    return Place()


@pytest.mark.parametrize("query", ["", "?status=503", "?status=404"])
def test_a_background_task_that_fails_after_a_complete_response_gives_nothing_back(place, query):
    with serving(place.app, log_level="critical") as url:
        assert 200 == httpx.get(f"{url}/background{query}").status_code
        assert place.stays_at(2)


def test_a_server_that_stops_in_the_middle_of_a_response_gives_nothing_back(place):
    with httpx.Client() as client:
        with serving(place.app, log_level="critical", timeout_graceful_shutdown=1) as url:
            response = client.send(client.build_request("GET", f"{url}/endless"), stream=True)
            chunks = response.iter_raw(1)  # an iterator that is dropped closes its connection
            assert b"x" == next(chunks)
        assert place.stays_at(2)


async def served(place, path, *events):
    """
    Serve a request, and let it raise.

    By ASGI 2.4 Starlette's streams do not listen themselves for clients that hang up.
    """

    async def sent(message):
        if message["type"] == "http.response.body":
            place.begun.set()

    with contextlib.suppress(RuntimeError):
        await exchange(place.app, *events, send=sent, path=path, asgi={"version": "3.0", "spec_version": "2.4"})


async def cancelled(place, path):
    """Serve a request, and cancel it once it has begun to work or to respond."""
    task = asyncio.create_task(served(place, path))
    await place.begun.wait()
    task.cancel()
    await asyncio.wait([task])


@pytest.mark.parametrize(("path", "used"), [("/endless", 2), ("/hanging", 0)])
def test_a_request_that_is_cancelled_gives_back_what_it_took_unless_its_response_has_begun(place, path, used):
    asyncio.run(cancelled(place, path))

    assert used == place.used()


def test_a_response_that_breaks_off_by_itself_gives_its_units_back(place):
    asyncio.run(served(place, "/broken"))

    assert 0 == place.used()


def test_a_response_that_is_given_up_because_the_client_hung_up_gives_nothing_back(place):
    asyncio.run(served(place, "/minding", {"type": "http.disconnect"}))

    assert 2 == place.used()
