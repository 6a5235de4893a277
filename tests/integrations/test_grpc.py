"""The gRPC interceptors, sync and aio, on real servers: the same calls give the same codes, metadata and counts."""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
from django_site import settled
from trade import policy
from webserver import KEYS

from entitlements import AsyncEnforcer, Enforcer
from entitlements.http.identify import api_key
from entitlements.http.routes import Route
from entitlements.integrations.grpc import AsyncEntitlementsInterceptor, EntitlementsInterceptor, current_account

ACCOUNTS = {"pro": "pro", "free": "free", "max": "max"}
OPTIONS = {
    "identify": api_key(KEYS),
    "routes": [Route("/shop/Health", exempt=True), Route("/shop/Sso", requires={"sso"})],
    "default": Route(consumes={"leads": 1}),
}
KINDS = ("unary_unary", "unary_stream", "stream_unary", "stream_stream")


def answer(name, context, abort):
    """Return what a method answers, or abort or fail as its name says."""
    if name == "Broken":
        raise RuntimeError("broken")
    if name == "Missing":
        return abort(grpc.StatusCode.NOT_FOUND, "there is none")
    if name == "Busy":
        return abort(grpc.StatusCode.UNAVAILABLE, "come again")
    return b"hello" if name == "Health" else current_account().id.encode()


class Methods(grpc.GenericRpcHandler):
    """Any method of the service `shop`, of the kind that the metadata names."""

    def service(self, details):
        name = details.method.rpartition("/")[2]
        kind = dict(details.invocation_metadata)["kind"]

        def unary(given, context):
            return answer(name, context, context.abort)

        def stream(given, context):
            yield b"first"
            yield answer(name, context, context.abort)

        return getattr(grpc, f"{kind}_rpc_method_handler")(stream if kind.endswith("stream") else unary)


class AsyncMethods(grpc.GenericRpcHandler):
    """The same methods on an event loop."""

    def service(self, details):
        name = details.method.rpartition("/")[2]
        kind = dict(details.invocation_metadata)["kind"]

        async def found(context):
            given = answer(name, context, context.abort)
            return await given if asyncio.iscoroutine(given) else given

        async def unary(given, context):
            return await found(context)

        async def stream(given, context):
            yield b"first"
            yield await found(context)

        return getattr(grpc, f"{kind}_rpc_method_handler")(stream if kind.endswith("stream") else unary)


@contextlib.contextmanager
def serving_sync(**options):
    enforcer = Enforcer(policy(), accounts=ACCOUNTS)
    interceptor = EntitlementsInterceptor(enforcer=enforcer, **OPTIONS | options)
    with ThreadPoolExecutor(4) as pool:
        server = grpc.server(pool, handlers=[Methods()], interceptors=[interceptor])
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        yield port, lambda: enforcer.usage("pro")["leads"].used
        server.stop(None).wait(60)


@contextlib.contextmanager
def serving_async(**options):
    enforcer = AsyncEnforcer(policy(), accounts=ACCOUNTS)
    started, loop = threading.Event(), asyncio.new_event_loop()
    found = {}

    async def serve():
        interceptor = AsyncEntitlementsInterceptor(enforcer=enforcer, **OPTIONS | options)
        server = grpc.aio.server(handlers=[AsyncMethods()], interceptors=[interceptor])
        found["port"] = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        found["end"] = asyncio.Event()
        started.set()
        await found["end"].wait()
        await server.stop(None)

    async def usage():
        return await enforcer.usage("pro")

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()), daemon=True)
    thread.start()
    assert started.wait(60)
    yield found["port"], lambda: asyncio.run_coroutine_threadsafe(usage(), loop).result(60)["leads"].used
    loop.call_soon_threadsafe(found["end"].set)
    thread.join(60)
    loop.close()


SERVERS = {"sync": serving_sync, "aio": serving_async}


def call(port, name, kind="unary_unary", key="k"):
    """Call a method; return its code, its answers, its detail, and the metadata of this package."""
    metadata = [("kind", kind), *([] if key is None else [("x-api-key", key)])]
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        method = getattr(channel, kind)(f"/shop/{name}")
        given = iter([b"a"]) if kind.startswith("stream") else b"a"
        answers = []
        if kind.endswith("stream"):
            running = method(given, metadata=metadata, timeout=60)
            with contextlib.suppress(grpc.RpcError):
                answers.extend(running)
        else:
            try:
                found, running = method.with_call(given, metadata=metadata, timeout=60)
                answers.append(found)
            except grpc.RpcError as error:
                running = error
        told = {
            each: value
            for each, value in running.trailing_metadata()
            if each.startswith(("ratelimit", "ent", "retry", "grpc-retry"))
        }
        return running.code().name, answers, running.details(), told


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("server", SERVERS)
def test_calls_are_gated_charged_and_refunded(server, kind):
    first = [b"first"] if kind.endswith("stream") else []
    with SERVERS[server]() as (port, used):
        assert ("OK", [*first, b"hello"]) == call(port, "Health", kind, key=None)[:2]
        assert ("UNAUTHENTICATED", []) == call(port, "Get", kind, key=None)[:2]
        code, answers, detail, told = call(port, "Sso", kind)
        assert ("PERMISSION_DENIED", []) == (code, answers)
        assert detail == json.loads(told["entitlements-problem"])["detail"]
        code, answers, _, told = call(port, "Get", kind)
        assert ("OK", [*first, b"pro"], '"leads";q=10') == (code, answers, told["ratelimit-policy"])
        for name, code, count in (("Missing", "NOT_FOUND", 2), ("Busy", "UNAVAILABLE", 2), ("Broken", "UNKNOWN", 2)):
            assert (code, first) == call(port, name, kind)[:2]
            assert count == settled(used, count)


@pytest.mark.parametrize("server", SERVERS)
def test_a_limit_that_is_used_up_says_when_to_come_again(server):
    with SERVERS[server](default=Route(consumes={"fixed": 1})) as (port, _):
        codes = [call(port, "Get")[0] for _ in range(10)]
        code, _, _, told = call(port, "Get")

    assert ["OK"] * 10 == codes
    assert ("RESOURCE_EXHAUSTED", True) == (
        code,
        int(told["grpc-retry-pushback-ms"]) == 1000 * int(told["retry-after"]),
    )


@pytest.mark.parametrize("server", SERVERS)
def test_a_client_that_hangs_up_in_a_stream_gets_nothing_back(server):
    with SERVERS[server]() as (port, used):
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            running = channel.unary_stream("/shop/Get")(b"a", metadata=[("kind", "unary_stream"), ("x-api-key", "k")])
            assert b"first" == next(running)
            running.cancel()

        assert 1 == settled(used, 1)


@pytest.mark.parametrize("kind", [EntitlementsInterceptor, AsyncEntitlementsInterceptor])
def test_a_rule_that_settles_is_refused_with_the_cure(kind):
    with pytest.raises(ValueError, match="gRPC calls do not; reserve and commit in the method"):
        kind(enforcer=Enforcer(policy()), **OPTIONS | {"default": Route(consumes={"leads": 1}, settles=True)})


def test_a_method_that_the_server_does_not_have_costs_nothing():
    enforcer = Enforcer(policy(), accounts=ACCOUNTS)
    with ThreadPoolExecutor(1) as pool:
        server = grpc.server(pool, interceptors=[EntitlementsInterceptor(enforcer=enforcer, **OPTIONS)])
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        assert "UNIMPLEMENTED" == call(port, "Get")[0]
        server.stop(None).wait(60)

    assert 0 == enforcer.usage("pro")["leads"].used
