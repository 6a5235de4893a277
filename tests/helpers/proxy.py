"""A proxy before a server that hands bytes to and fro until it is told to lose something."""

from __future__ import annotations

import asyncio
import random
import threading
from contextlib import contextmanager, suppress


class Proxy:
    """
    *lost* is the share of script calls that go unanswered: the connection breaks instead.

    `where` says when: `reply` after the server has answered, so that it was done;
    `request` before it has heard of it.

    `late` are the seconds by which each answer comes later, `drips` those between two bytes of it.
    """

    def __init__(self, port, seed=1):
        self.lost, self.where, self.cut = 0.0, "reply", 0
        self.late = self.drips = 0.0
        self._to, self._chance, self._tasks = port, random.Random(seed), set()

    async def serve(self):
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        self.url = f"redis://127.0.0.1:{self.port}"

    async def end(self):
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _connected(self, reader, writer):
        self._tasks.add(asyncio.current_task())
        there = None
        try:
            answers, there = await asyncio.open_connection("127.0.0.1", self._to)
            doomed = asyncio.Event()
            back = asyncio.create_task(self._back(answers, writer, doomed))
            self._tasks.add(back)
            while asked := await reader.read(65536):
                if b"EVALSHA" in asked and self._chance.random() < self.lost:
                    self.cut += 1
                    doomed.set()
                    if self.where == "request":
                        break
                there.write(asked)
            if not doomed.is_set() or self.where == "request":
                back.cancel()
            await asyncio.gather(back, return_exceptions=True)
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            for each in (writer, there):
                if each is not None:
                    each.close()

    async def _back(self, answers, writer, doomed):
        with suppress(OSError):
            while said := await answers.read(65536):
                if doomed.is_set():
                    break
                await self._say(writer, said)
        writer.close()

    async def _say(self, writer, said):
        if self.late:
            await asyncio.sleep(self.late)
        if not self.drips:
            writer.write(said)
            return
        for place in range(len(said)):
            writer.write(said[place : place + 1])
            await asyncio.sleep(self.drips)


@contextmanager
def proxied(port):
    """Run a proxy before this *port* on a thread of its own."""
    proxy, loop = Proxy(port), asyncio.new_event_loop()
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
