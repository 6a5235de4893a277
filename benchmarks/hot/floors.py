"""
Floors: lower bounds for every limiter on this server.

The script floors send *our* one-rate script. Its calls are encoded beforehand, so Python only
sends them, and only the verdict of the reply is read.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING

from benchmarks.hot.figures import ACCOUNTS
from benchmarks.hot.setting import HOUR_MICROSECONDS, SMALL, Case
from benchmarks.hot.wire import Raw, frame, place

if TYPE_CHECKING:
    from collections.abc import Callable

EARLY = 16
"""Calls waiting at which the coalescing loop writes without waiting for the end of its tick."""
CONNECTIONS = 32
PING = frame("PING")
NOOP = "return 1"
GCRA = """
local now = redis.call('TIME')
now = now[1] * 1000000 + now[2]
local each, most = tonumber(ARGV[1]), tonumber(ARGV[2])
local due = tonumber(redis.call('GET', KEYS[1]) or now)
if due < now then due = now end
local after = due + each
local left = math.floor((now + most - after) / each)
if left < 0 then return {0, 0, after - most - now, due - now} end
redis.call('SET', KEYS[1], string.format('%.0f', after), 'PX', math.ceil((after - now) / 1000))
return {1, left, 0, after - now}
"""
"""A rate by one instant (GCRA) in as few commands as it takes to say what is left and when; no window is kept."""

TWO = """
local time = redis.call('TIME')
local window, month = math.floor(time[1] / 3600), ARGV[3]
local kept = redis.call('HMGET', KEYS[1], 'window', 'calls', 'month', 'leads')
local calls = kept[1] == tostring(window) and tonumber(kept[2]) or 0
local leads = kept[3] == month and tonumber(kept[4]) or 0
if calls + 1 > tonumber(ARGV[1]) or leads + 1 > tonumber(ARGV[2]) then return {0, calls, leads} end
redis.call('HSET', KEYS[1], 'window', window, 'calls', calls + 1, 'month', month, 'leads', leads + 1)
return {1, calls + 1, leads + 1}
"""
"""A rate by fixed window and a quota by month, all or nothing, in as few commands; a repeat counts twice."""


def words_of(account: str, limit: int, prefix: str = "floor") -> tuple[bytes, list[bytes | str]]:
    """Return our one-rate script, and the words after `EVALSHA` of the call that charges one unit to an account."""
    from entitlements.model.charge import Charge, Part
    from entitlements.model.limits import Rate
    from entitlements.stores.redis.encoding import encode_call

    part = Part(Rate("api", HOUR_MICROSECONDS), SMALL if account[0] == "s" else limit)
    call = encode_call(Charge(account, (part,)), prefix)
    return call.script.text, [call.script.sha, str(len(call.keys)), *call.keys, *call.args]


def frames(url: str, limit: int, prefix: str = "floor") -> Callable[[str], bytes]:
    """Load the script; return a function that encodes the one-rate call of an account."""

    def made(account: str) -> bytes:
        script, words = words_of(account, limit, prefix)
        scripts.add(script)
        return frame("EVALSHA", *words)

    scripts: set[bytes] = set()
    known = {f"{kind}{number}": made(f"{kind}{number}") for kind in "as" for number in range(ACCOUNTS)}
    raw = Raw(url)
    for text in scripts:
        raw.ask("SCRIPT", "LOAD", text)
    raw.close()

    def of(account: str) -> bytes:
        found = known.get(account)
        if found is None:
            found = known[account] = made(account)
        return found

    return of


def admitted(reply: bytes) -> bool:
    """Return whether a reply of our script admits."""
    return reply[0] == 0


# -- blocking ------------------------------------------------------------------------------


class RawPing(Case):
    def open(self):
        self._raw = Raw(self.setting.url)

    def hit(self, account):
        return self._raw.exchange(PING) == b"+PONG\r\n"

    def close(self):
        self._raw.close()


class RawScript(RawPing):
    def open(self):
        super().open()
        self._frame = frames(self.setting.url, self.setting.limit)

    def hit(self, account):
        return admitted(self._raw.exchange(self._frame(account)).partition(b"\r\n")[2])


class RawGcra(RawPing):
    def open(self):
        super().open()
        self._sha = self._raw.ask("SCRIPT", "LOAD", GCRA)
        each = HOUR_MICROSECONDS // self.setting.limit
        self._words = (str(each), str(each * self.setting.limit))

    def hit(self, account):
        return self._raw.exchange(frame("EVALSHA", self._sha, "1", f"gcra:{account}", *self._words))[4:6] == b":1"


class RedisPing(Case):
    def open(self):
        import redis

        self._client = redis.Redis.from_url(self.setting.url)
        self._sha = self._client.script_load(NOOP)

    def hit(self, account):
        return self._client.ping()

    def close(self):
        self._client.close()


class RedisNoop(RedisPing):
    def hit(self, account):
        return self._client.evalsha(self._sha, 1, account) == 1


class RedisScript(RedisPing):
    """Our script by redis-py's own call, its words made beforehand."""

    def open(self):
        super().open()
        self._words = {}

    def hit(self, account):
        return admitted(self._client.evalsha(*self._of(account)))

    def _of(self, account):
        if account not in self._words:
            script, self._words[account] = words_of(account, self.setting.limit)
            self._client.script_load(script)
        return self._words[account]


# -- an event loop -------------------------------------------------------------------------


class AsyncRedisPing(Case):
    """At most 32 connections; callers wait in line, where redis-py's own blocking pool starves some."""

    asynchronous = True

    async def open(self):
        import redis.asyncio

        self._client, self._turn = redis.asyncio.Redis.from_url(self.setting.url), asyncio.Semaphore(CONNECTIONS)
        self._sha = await self._client.script_load(NOOP)

    async def hit(self, account):
        async with self._turn:
            return await self._client.ping()

    async def close(self):
        await self._client.aclose()


class AsyncRedisNoop(AsyncRedisPing):
    async def hit(self, account):
        async with self._turn:
            return await self._client.evalsha(self._sha, 1, account) == 1


class AsyncRedisScript(AsyncRedisPing):
    """Our script by redis-py's own call, its words made beforehand."""

    async def open(self):
        await super().open()
        self._words = {}

    async def hit(self, account):
        async with self._turn:
            words = self._words.get(account) or await self._of(account)
            return admitted(await self._client.evalsha(*words))

    async def _of(self, account):
        script, words = words_of(account, self.setting.limit)
        await self._client.script_load(script)
        self._words[account] = words
        return words


class AsyncRedisTwo(AsyncRedisPing):
    """A script written by hand for a rate and a quota, by redis-py's own call."""

    async def open(self):
        await super().open()
        self._sha = await self._client.script_load(TWO)

    async def hit(self, account):
        async with self._turn:
            return (await self._client.evalsha(self._sha, 1, account, self.setting.limit, 10**12, "2026-11"))[0] == 1


class Replies(asyncio.Protocol):
    """One connection; replies resolve the waiting calls in order."""

    def __init__(self):
        self.waiting = deque()
        self._rest = b""
        self.transport = None

    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        data, start = self._rest + data if self._rest else data, 0
        while (end := data.find(b"\r\n", start)) >= 0:
            if data[start] != 36:  # no bulk string: an error
                self._next(RuntimeError(data[start:end].decode()))
                start = end + 2
                continue
            stop = end + 2 + int(data[start + 1 : end])
            if len(data) < stop + 2:
                break
            self._next(data[end + 2 : stop])
            start = stop + 2
        self._rest = data[start:]

    def _next(self, said):
        future = self.waiting.popleft()
        if not future.done():
            (future.set_exception if isinstance(said, Exception) else future.set_result)(said)

    def connection_lost(self, error):
        for future in self.waiting:
            if not future.done():
                future.set_exception(error or ConnectionError("the server hung up"))


class ProtocolScript(Case):
    """One connection, one write for each call."""

    asynchronous = True

    async def open(self):
        self._loop = asyncio.get_running_loop()
        self._frame = frames(self.setting.url, self.setting.limit)
        _, self._link = await self._loop.create_connection(Replies, *place(self.setting.url))

    async def hit(self, account):
        future = self._loop.create_future()
        self._link.waiting.append(future)
        self._link.transport.write(self._frame(account))
        return admitted(await future)

    async def close(self):
        self._link.transport.close()


class CoalescingScript(ProtocolScript):
    """One connection, one write for all calls of a tick, or as soon as 16 wait."""

    async def open(self):
        await super().open()
        self._buffer = []

    async def hit(self, account):
        buffer, future = self._buffer, self._loop.create_future()
        self._link.waiting.append(future)
        if not buffer:
            self._loop.call_soon(self._write)
        buffer.append(self._frame(account))
        if len(buffer) >= EARLY:
            self._write()
        return admitted(await future)

    def _write(self):
        if self._buffer:
            self._link.transport.write(b"".join(self._buffer))
            self._buffer.clear()


CASES = {
    "raw-ping": RawPing,
    "raw-script": RawScript,
    "redis-ping": RedisPing,
    "redis-noop": RedisNoop,
    "redis-script": RedisScript,
    "raw-gcra": RawGcra,
    "redis-ping-async": AsyncRedisPing,
    "redis-noop-async": AsyncRedisNoop,
    "redis-two-async": AsyncRedisTwo,
    "redis-script-async": AsyncRedisScript,
    "protocol-script": ProtocolScript,
    "coalescing-script": CoalescingScript,
}
