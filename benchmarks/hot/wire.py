"""Minimal Redis protocol for the floors and for the server's counters; standard library only."""

from __future__ import annotations

import socket
from urllib.parse import urlsplit


def frame(*words: bytes | str) -> bytes:
    """Return one encoded command."""
    raw = [word if isinstance(word, bytes) else word.encode() for word in words]
    return b"*%d\r\n" % len(raw) + b"".join(b"$%d\r\n%b\r\n" % (len(word), word) for word in raw)


def place(url: str) -> tuple[str, int]:
    """Return host and port of a server's URL."""
    split = urlsplit(url)
    return split.hostname or "127.0.0.1", split.port or 6379


class Raw:
    """A blocking socket to a server: one command, one reply."""

    def __init__(self, url: str) -> None:
        self._socket = socket.create_connection(place(url))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._rest = b""

    def exchange(self, sent: bytes) -> bytes:
        """Send these bytes and return the data of one recv, which is enough for a short reply."""
        self._socket.sendall(sent)
        return self._socket.recv(65536)

    def ask(self, *words: bytes | str) -> object:
        """Send a command and return its reply: bytes, an int, a list or None."""
        self._socket.sendall(frame(*words))
        return self._reply()

    def close(self) -> None:
        """Close the connection."""
        self._socket.close()

    def _line(self) -> bytes:
        while b"\r\n" not in self._rest:
            self._more()
        line, _, self._rest = self._rest.partition(b"\r\n")
        return line

    def _more(self) -> None:
        got = self._socket.recv(65536)
        if not got:
            raise ConnectionError("the server hung up")
        self._rest += got

    def _reply(self) -> object:
        line = self._line()
        kind, said = line[:1], line[1:]
        if kind == b"-":
            raise RuntimeError(said.decode())
        if kind == b":":
            return int(said)
        if kind == b"*":
            return [self._reply() for _ in range(int(said))]
        if kind == b"$":
            size = int(said)
            if size < 0:
                return None
            while len(self._rest) < size + 2:
                self._more()
            body, self._rest = self._rest[:size], self._rest[size + 2 :]
            return body
        return said


def info(raw: Raw, section: str) -> dict[str, str]:
    """Return one section of INFO."""
    said = raw.ask("INFO", section)
    assert isinstance(said, bytes)
    lines = (line for line in said.decode().splitlines() if ":" in line)
    return dict(line.split(":", 1) for line in lines)
