"""A fault proxy before a server: it passes bytes both ways until it is told to hold up, cut or change some."""

from __future__ import annotations

import asyncio
import random
import threading
from contextlib import contextmanager, suppress
from dataclasses import dataclass

UPSTREAM = ("latency", "jitter", "cut before", "half request", "blackhole", "late original")
"""Toxics of a request; those of REPLIES let it pass and act on its reply."""
REPLIES = ("late", "cut after", "silence", "drip", "half-close", "half reply", "corrupt type", "corrupt byte")


@dataclass(frozen=True)
class Toxic:
    """
    A fault of the calls that pass.

    Args:
        kind: One of UPSTREAM or REPLIES. After a `blackhole` or a `silence` nothing more passes on that connection.
        seconds: How long it holds up: a request, a reply, each byte of it (`drip`), or the original after its
            connection was cut (`late original`).
        share: The share of calls that it hits.
        of: The bytes by which it knows a call.
    """

    kind: str
    seconds: float = 0.0
    share: float = 1.0
    of: bytes = b"EVALSHA"


@dataclass(eq=False)
class Passage:
    """One connection through the proxy."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    server_reader: asyncio.StreamReader
    server_writer: asyncio.StreamWriter
    toxic: Toxic | None = None
    """Toxic of the next reply."""

    def cut(self):
        self.writer.transport.abort()
        self.server_writer.transport.abort()


class Proxy:
    """Proxy before one port; `hits` counts the calls that a toxic has hit."""

    def __init__(self, port, seed=1, scheme="redis"):
        self.hits = 0
        self._toxic, self._accepts = None, True
        self._to, self._scheme, self._chance = port, scheme, random.Random(seed)
        self._tasks, self._passages, self._writers = set(), set(), []

    def inject(self, kind, seconds=0.0, share=1.0, *, of=Toxic.of, times=None):
        """Let a toxic act from now on, so many times: on script calls, or on what contains the bytes *of*."""
        assert kind in UPSTREAM + REPLIES
        self._toxic, self._times = Toxic(kind, seconds, share, of), times

    def heal(self):
        """Pass everything again."""
        self._toxic, self._accepts = None, True

    def refuse(self):
        """Cut all connections, and accept none until it is healed."""
        self._accepts = False
        self.cut_all()

    def cut_all(self):
        """Cut all connections."""
        self._loop.call_soon_threadsafe(lambda: [each.cut() for each in list(self._passages)])

    async def serve(self):
        self._loop = asyncio.get_running_loop()
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        self.url = f"{self._scheme}://127.0.0.1:{self.port}"

    async def end(self):
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for writer in self._writers:  # also those closed with unsent bytes, as the loop ends now
            writer.transport.abort()
        for _ in range(3):  # the loop closes the sockets of what was aborted in its next turns
            await asyncio.sleep(0)

    async def _connected(self, reader, writer):
        self._tasks.add(asyncio.current_task())
        self._writers.append(writer)
        passage = None
        try:
            if not self._accepts:
                return
            passage = Passage(reader, writer, *await asyncio.open_connection("127.0.0.1", self._to))
            self._writers.append(passage.server_writer)
            self._passages.add(passage)
            await asyncio.gather(self._up(passage), self._down(passage))
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            for each in (writer, passage.server_writer if passage else None):
                if each is not None:
                    each.close()
            self._passages.discard(passage)
            self._tasks.discard(asyncio.current_task())

    def _hit(self, data):
        """Return the toxic that hits these bytes of a client, or None."""
        toxic = self._toxic
        if toxic is None or toxic.of not in data or self._chance.random() >= toxic.share:
            return None
        self.hits += 1
        if self._times is not None:
            self._times -= 1
            if not self._times:
                self._toxic = None
        return toxic

    async def _up(self, passage):
        with suppress(OSError):
            while data := await passage.reader.read(65_536):
                toxic = self._hit(data)
                kind = toxic.kind if toxic else None
                if kind == "cut before":
                    passage.cut()
                elif kind == "half request":
                    passage.server_writer.write(data[: len(data) // 2])
                    await passage.server_writer.drain()
                    passage.cut()
                elif kind == "late original":
                    passage.writer.transport.abort()
                    await asyncio.sleep(toxic.seconds)
                    passage.server_writer.write(data)
                    await passage.server_writer.drain()
                    return
                elif kind == "blackhole":
                    while await passage.reader.read(65_536):
                        pass
                else:
                    if kind in {"latency", "jitter"}:
                        await asyncio.sleep(toxic.seconds * (self._chance.random() if kind == "jitter" else 1))
                    elif kind is not None:
                        passage.toxic = toxic
                    passage.server_writer.write(data)
                    await passage.server_writer.drain()
        passage.server_writer.close()

    async def _down(self, passage):
        with suppress(OSError):
            while data := await passage.server_reader.read(65_536):
                toxic, kind = passage.toxic, passage.toxic.kind if passage.toxic else None
                if kind == "silence":
                    continue
                passage.toxic = None
                if kind == "cut after":
                    passage.cut()
                    break
                if kind == "half-close":
                    passage.writer.write_eof()
                    passage.toxic = Toxic("silence")
                    continue
                if kind == "half reply":
                    passage.writer.write(data[: len(data) // 2])
                    await passage.writer.drain()
                    passage.cut()
                    break
                await self._say(passage.writer, data, toxic)
        passage.writer.close()

    async def _say(self, writer, data, toxic):
        kind = toxic.kind if toxic else None
        if kind == "late":
            await asyncio.sleep(toxic.seconds)
        elif kind == "drip":
            for place in range(len(data)):
                writer.write(data[place : place + 1])
                await asyncio.sleep(toxic.seconds)
            return
        elif kind in {"corrupt type", "corrupt byte"}:
            place = 0 if kind == "corrupt type" else self._chance.randrange(len(data))
            data = bytes((*data[:place], data[place] ^ 1 << self._chance.randrange(8), *data[place + 1 :]))
        writer.write(data)
        await writer.drain()


@contextmanager
def proxied(port, **options):
    """Run a proxy before this *port* on a thread of its own."""
    proxy, loop = Proxy(port, **options), asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        asyncio.run_coroutine_threadsafe(proxy.serve(), loop).result(60)
        yield proxy
    finally:
        asyncio.run_coroutine_threadsafe(proxy.end(), loop).result(60)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
