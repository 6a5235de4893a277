"""Units that the raw record of an account holds: the only module of the lab that knows the layout of records."""

from __future__ import annotations

import struct
from dataclasses import dataclass


@dataclass(frozen=True)
class Counted:
    """Units of one limit; *used* includes what is reserved and what is held by name."""

    used: int = 0
    reserved: int = 0
    holders: frozenset[str] = frozenset()


def key_of(account, namespace="ent"):
    """Return the key of an account, or of an account and a scope with a colon between; no id needs encoding."""
    account, colon, scope = account.partition(":")
    return f"{namespace}1:{{{account}}}{colon}{scope}"


def counted(client, account, limit, namespace="ent"):
    """Return what the server counts of a limit; rates are sliding, and nothing of them has left the window."""
    fields = client.hgetall(key_of(account, namespace))
    name = limit.encode()
    if content := fields.get(b"a" + name):  # an allocation has a `q` too, of its refusals by month
        anonymous, reserved, holders = struct.unpack(">3q", content)
        prefix = b"u" + name + b":"
        named = frozenset(each[len(prefix) :].decode() for each in fields if each.startswith(prefix))
        assert holders == len(named), f"{limit} counts {holders} holders and lists {sorted(named)}"
        return Counted(anonymous + reserved + holders, reserved, named)
    if content := fields.get(b"q" + name):
        _, _, _, used, reserved, _ = struct.unpack(">6q", content)
        return Counted(used, reserved)
    for field, content in fields.items():
        if field.startswith(b"r1:") and field.split(b":", 2)[2] == name:
            return Counted(struct.unpack_from(">qqI", content)[2])
    return Counted()


def open_reservations(client, account, namespace="ent"):
    """Return how many reservations of an account are neither settled nor swept."""
    return sum(field.startswith(b"B") for field in client.hkeys(key_of(account, namespace)))


def set_quota(client, account, limit, used, namespace="ent"):
    """Write how much of a quota is used, as a store without atomic scripts would; for planted faults."""
    field = b"q" + limit.encode()
    content = client.hget(key_of(account, namespace), field)
    if content:
        start, ends, size, _, reserved, denied = struct.unpack(">6q", content)
        client.hset(key_of(account, namespace), field, struct.pack(">6q", start, ends, size, used, reserved, denied))
