"""A proxy that makes round trips longer: `python -m benchmarks.hot.delay PORT MILLISECONDS` prints its own port."""

from __future__ import annotations

import asyncio
import sys
from collections import deque
from time import perf_counter

from benchmarks.hot.pacing import Pacer


class Line:
    """Delays all data by the same time, in order."""

    def __init__(self, seconds):
        self._seconds, self._held, self._came = seconds, deque(), asyncio.Event()

    def send(self, transport, data):
        """Write *data* to *transport*, later."""
        if not self._seconds:
            transport.write(data)
            return
        self._held.append((perf_counter() + self._seconds, transport, data))
        self._came.set()

    async def run(self):
        """Forward data when it is due, in a loop."""
        async with Pacer() as pacer:
            while True:
                if not self._held:
                    self._came.clear()
                    await self._came.wait()
                due, transport, data = self._held[0]
                if due > perf_counter():
                    await pacer.until(due)
                self._held.popleft()
                transport.write(data)


class End(asyncio.Protocol):
    """One end of a connection; it forwards what it receives to the other end."""

    def __init__(self, line, other=None):
        self.line, self.other, self.early = line, other, []

    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        if self.other is None:
            self.early.append(data)
        else:
            self.line.send(self.other.transport, data)

    def connection_lost(self, error):
        if self.other is not None:
            self.other.transport.close()


class Front(End):
    """The client's end, which opens the server's end."""

    def __init__(self, line, port):
        super().__init__(line)
        self._port = port

    def connection_made(self, transport):
        super().connection_made(transport)
        self._opening = asyncio.ensure_future(self._open())

    async def _open(self):
        loop = asyncio.get_running_loop()
        _, self.other = await loop.create_connection(lambda: End(self.line, self), "127.0.0.1", self._port)
        for data in self.early:
            self.line.send(self.other.transport, data)


async def serve(port, milliseconds):
    """Serve until standard input ends, which happens when the parent process ends."""
    line = Line(milliseconds / 2000)
    server = await asyncio.get_running_loop().create_server(lambda: Front(line, port), "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    ended = asyncio.ensure_future(asyncio.to_thread(sys.stdin.read))
    await asyncio.wait({ended, asyncio.ensure_future(line.run())}, return_when=asyncio.FIRST_COMPLETED)


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), float(sys.argv[2])))
