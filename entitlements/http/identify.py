"""
Who is asking: ready-made answers for `identify=`.

Each is built from something that somebody has verified, and gives None where it does not
know. A header alone is never believed: an API key is looked up, and an address is read
from forwarding headers only as far as the proxies are one's own.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Awaitable, Callable, Mapping

from entitlements.http.types import Scope, header_values
from entitlements.model.account import Account

Identity = str | Account | None
Identify = Callable[[Scope], Identity | Awaitable[Identity]]
"""Says whose request it is: an account's id, an `Account`, or None for nobody."""

Lookup = Mapping[str, str] | Callable[[str], Identity | Awaitable[Identity]]


def authenticated_user(attribute: str = "account") -> Identify:
    """
    Return what *attribute* of the signed-in user says: `scope["user"]`, as Starlette's authentication sets it.

    A user who is not authenticated, and one without the attribute, is nobody.
    """

    def identify(scope: Scope) -> str | Account | None:
        user = scope.get("user")
        if user is None or not getattr(user, "is_authenticated", False):
            return None
        return getattr(user, attribute, None)

    return identify


def state_value(name: str) -> Identify:
    """Return what an earlier middleware verified and left in `request.state` under *name*."""

    def identify(scope: Scope) -> str | Account | None:
        return scope.get("state", {}).get(name)  # type: ignore[no-any-return]

    return identify


def api_key(lookup: Lookup, *, header: str = "x-api-key", scheme: str = "") -> Identify:
    """
    Look the request's API key up.

    Args:
        lookup: From a key to an account: a mapping, or a callable, sync or async.
        header: Where the key stands.
        scheme: What stands before it, such as `Bearer` in `authorization`; in any case of letters.

    A request without the header, with two of them, or with one that is no text is nobody's.
    """
    name = header.lower().encode("ascii")
    find = lookup.get if isinstance(lookup, Mapping) else lookup
    before = f"{scheme.lower()} " if scheme else ""

    def identify(scope: Scope) -> Identity | Awaitable[Identity]:
        value = None
        for given, said in scope.get("headers", ()):  # a comprehension costs a third of all that is done here
            if given == name:
                if value is not None:
                    return None
                value = said
        if value is None:
            return None
        try:
            key = value.decode("ascii").strip()
        except UnicodeDecodeError:
            return None
        if before:
            if not key.lower().startswith(before):
                return None
            key = key[len(before) :].strip()
        return find(key) if key else None

    return identify


def client_ip(*, trusted_proxies: int, ipv6_prefix: int = 128) -> Identify:
    """
    Return the client's address, behind so many proxies of one's own.

    Args:
        trusted_proxies: How many proxies in front of this server append to `X-Forwarded-For`;
            the address is counted from the right, so that what a client wrote itself is never
            read. 0 where clients connect directly.
        ipv6_prefix: Leading bits of an IPv6 address that count: 64 makes one client of a whole
            network, which is what a household or a server gets, and its addresses are many.

    Raises:
        ValueError: For anything but an int of 0 or more, and of 1 to 128.
    """
    if type(trusted_proxies) is not int or trusted_proxies < 0:
        raise ValueError(f"trusted_proxies {trusted_proxies!r} must be an int of 0 or more")
    if type(ipv6_prefix) is not int or not 1 <= ipv6_prefix <= 128:
        raise ValueError(f"ipv6_prefix {ipv6_prefix!r} must be an int from 1 to 128")

    def identify(scope: Scope) -> str | None:
        client = scope.get("client")
        if not client:
            return None
        if not trusted_proxies:
            return _address(client[0], ipv6_prefix)
        text = b",".join(header_values(scope, b"x-forwarded-for")).decode("latin-1")
        hops = [hop.strip() for hop in text.split(",")] if text else []
        return _address(hops[-trusted_proxies], ipv6_prefix) if len(hops) >= trusted_proxies else None

    return identify


def _address(text: str, prefix: int) -> str | None:
    """Return an IP address or network in its one spelling, without brackets and port; None for anything else."""
    text = text.strip('"')
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv4Address):
        return str(address)
    if address.ipv4_mapped:  # how a socket for both families shows IPv4
        return str(address.ipv4_mapped)
    number = int(address)  # without the zone, which is any text, and another one in each spelling
    return str(
        ipaddress.IPv6Address(number) if prefix == 128 else ipaddress.IPv6Network((number, prefix), strict=False)
    )
