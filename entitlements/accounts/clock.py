"""The clock of whatever is kept for a while: nobody can set it back."""

from __future__ import annotations

from time import monotonic_ns


def monotonic() -> int:
    """Return microseconds that only ever grow."""
    return monotonic_ns() // 1000
