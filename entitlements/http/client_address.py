"""
Client addresses: the address of the client behind trusted proxies.

Each proxy appends the address of its peer to a header, so entries are read from the right, and only
as far as trusted proxies wrote them. Everything to the left can be forged by the client.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Collection, Iterable, Iterator
from itertools import islice

from entitlements.http.types import Scope, header_values

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Hops = Callable[[Scope], Iterator[Address | None]]
"""Returns the addresses that proxies wrote, the last one first; None for an entry without an address."""

UNIX = "unix:"
"""The peer on a unix socket, which has no address, in a list of trusted networks."""

NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
"""IPv4 addresses behind a NAT64 (RFC 6052)."""

MAX_HOPS = 50
"""Entries that are read at most, where clients can write any number."""

_PAIR = re.compile(r'[ \t]*([^=;,"\s]+)=("(?:[^"\\]|\\.)*"|[^;,"\s]*)[ \t]*(?:;|$)')


def client_address(
    hops: Hops, trusted: int | Collection[str], client_id: Callable[[Address], str]
) -> Callable[[Scope], str | None]:
    """
    Return a callable from a scope to the id of its client; None if the address is not known.

    Args:
        hops: Reads the header.
        trusted: The number of trusted proxies, or their networks.
        client_id: Returns the id of an address.

    Raises:
        ValueError: If *trusted* is neither an int of 0 or more nor a collection of networks.
    """
    if type(trusted) is int:
        if trusted < 0:
            raise ValueError(f"trusted_proxies {trusted!r} must be an int of 0 or more, or networks")
        last = trusted - 1

        def find(scope: Scope) -> Address | None:
            return next(islice(hops(scope), last, None), None) if last >= 0 else _peer(scope)

    else:
        networks, trusts_unix = _networks(trusted)

        def find(scope: Scope) -> Address | None:
            peer = _peer(scope)
            if peer is None and (not trusts_unix or _has_peer(scope)):
                return None
            address = peer
            for hop in islice(hops(scope), MAX_HOPS):
                if address is not None and not any(address in network for network in networks):
                    break
                address = hop
                if address is None:
                    break
            return address

    def identify(scope: Scope) -> str | None:
        address = find(scope)
        return None if address is None else client_id(address)

    return identify


def forwarded_hops(header: object) -> Hops:
    """
    Return the reader of a forwarding header.

    Raises:
        ValueError: If there is none for *header*.
    """
    name = header.lower() if isinstance(header, str) else header
    if name == "x-forwarded-for":
        return lambda scope: (parse_address(each) for each in _split(_joined(scope, b"x-forwarded-for"), quoted=False))
    if name == "forwarded":
        return lambda scope: (_forwarded_for(each) for each in _split(_joined(scope, b"forwarded"), quoted=True))
    raise ValueError(f"header {header!r} cannot be read; it must be 'x-forwarded-for' or 'forwarded'")


def parse_address(text: str) -> Address | None:
    """
    Return an IP address without brackets, port and zone; None for other text.

    An IPv4 address that is written as IPv6, by a dual-stack socket or a NAT64, is returned as IPv4.
    """
    text = text.strip().strip('"')
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address.ipv4_mapped:
        return address.ipv4_mapped
    number = int(address)  # drops the zone, which is free text
    if address in NAT64:
        return ipaddress.IPv4Address(number & 0xFFFFFFFF)
    return ipaddress.IPv6Address(number)


def _networks(trusted: object) -> tuple[list[Network], bool]:
    """Return the networks of a collection, and True if it trusts unix sockets."""
    if isinstance(trusted, str | bytes) or not isinstance(trusted, Iterable):
        raise ValueError(
            f"trusted_proxies {trusted!r} must be an int of 0 or more, or a list of networks, such as ['10.0.0.0/8']"
        )
    networks, trusts_unix = [], False
    for each in trusted:
        if each == UNIX:
            trusts_unix = True
            continue
        try:
            networks.append(_unwrapped(ipaddress.ip_network(str(each))))
        except ValueError as error:
            raise ValueError(
                f"trusted_proxies: {each!r} is no network ({error}); write one, such as '10.0.0.0/8'"
            ) from None
    return networks, trusts_unix


def _unwrapped(network: Network) -> Network:
    """Return a network of IPv4 addresses that are written as IPv6 as IPv4, like `parse_address` its addresses."""
    first = parse_address(str(network.network_address))
    if network.version == 6 and network.prefixlen >= 96 and isinstance(first, ipaddress.IPv4Address):
        return ipaddress.IPv4Network((int(first), network.prefixlen - 96))
    return network


def _has_peer(scope: Scope) -> bool:
    """Return True if the server names a peer; on a unix socket there is none, or an empty one."""
    client = scope.get("client")
    return bool(client and client[0] and not str(client[0]).startswith(UNIX))


def _peer(scope: Scope) -> Address | None:
    client = scope.get("client")
    return parse_address(client[0]) if client else None


def _joined(scope: Scope, name: bytes) -> str:
    return b",".join(header_values(scope, name)).decode("latin-1")


def _split(text: str, *, quoted: bool) -> Iterator[str]:
    """
    Yield the elements of a list, from the right.

    With *quoted*, a comma in a quoted string does not separate. Read from the right, a quote that a
    client left open cannot hide the commas of the proxies behind it.
    """
    if not text:
        return
    end, is_open = len(text), False
    for at in range(len(text) - 1, -1, -1):
        if quoted and text[at] == '"' and not (is_open and _is_escaped(text, at)):
            is_open = not is_open
        elif text[at] == "," and not is_open:
            yield text[at + 1 : end]
            end = at
    yield text[:end]


def _is_escaped(text: str, at: int) -> bool:
    start = at
    while start and text[start - 1] == "\\":
        start -= 1
    return (at - start) % 2 == 1


def _forwarded_for(element: str) -> Address | None:
    """Return the address of `for=` in an element of `Forwarded`; None if it has none, two, or is malformed."""
    pairs, at = [], 0
    while at < len(element):
        pair = _PAIR.match(element, at)
        if pair is None:
            return None
        pairs.append((pair[1].lower(), pair[2]))
        at = pair.end()
    found = [value for name, value in pairs if name == "for"]
    return parse_address(found[0]) if len(found) == 1 else None
