"""Operation ids that are sequence numbers: `s:`, the producer in 16 hexadecimal digits, `:`, and the number."""

from __future__ import annotations

_PREFIX = "s:"


def sequence_id(producer: str, number: int) -> str:
    """Return the operation id of a producer's charge."""
    return f"{_PREFIX}{producer}:{number}"


def is_sequence(operation: str | None) -> bool:
    """Return True for an operation id that is a sequence number."""
    return operation is not None and operation.startswith(_PREFIX)


def split_sequence(operation: str) -> tuple[str, int]:
    """Return the producer and the number of an operation id."""
    return operation[2:18], int(operation[19:])
