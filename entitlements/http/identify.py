"""
Ready-made callables for `identify=`.

Each returns an identity that was verified, or None. No header is trusted by itself: an
API key is looked up, and a client's address is read from forwarding headers only as far
as the trusted proxies wrote them.
"""

from __future__ import annotations

import inspect
import ipaddress
from collections.abc import Awaitable, Callable, Collection, Mapping
from contextlib import suppress

from entitlements.http.client_address import Address, client_address, forwarded_hops
from entitlements.http.types import Scope, request_headers
from entitlements.model.account import Account
from entitlements.model.callables import is_generator, takes
from entitlements.model.names import check_id

__all__ = ["Identify", "Identity", "Lookup", "api_key", "authenticated_user", "client_ip", "state_value"]

Identity = str | Account | None
Identify = Callable[[Scope], Identity | Awaitable[Identity]]
"""Returns the account of a scope: its id, an `Account`, or None if the request names no account."""

Lookup = Mapping[str, str] | Callable[[str], Identity | Awaitable[Identity]]


def authenticated_user(attribute: str = "account") -> Identify:
    """
    Identify by *attribute* of the signed-in user, `scope["user"]`, as Starlette's authentication sets it.

    A user who is not authenticated, or who lacks the attribute, is not identified.
    """

    def identify(scope: Scope) -> str | Account | None:
        user = scope.get("user")
        if user is None or not getattr(user, "is_authenticated", False):
            return None
        return getattr(user, attribute, None)

    return identify


def state_value(name: str) -> Identify:
    """Identify by `request.state`: the value that an earlier middleware verified and stored under *name*."""

    def identify(scope: Scope) -> str | Account | None:
        return scope.get("state", {}).get(name)  # type: ignore[no-any-return]

    return identify


def api_key(lookup: Lookup, *, header: str = "x-api-key", scheme: str = "") -> Identify:
    """
    Identify by API key.

    A request without the header, with two of them, or with one that is not ASCII is not identified.

    Args:
        lookup: Maps a key to an account: a mapping, or a callable, sync or async.
        header: The header that holds the key.
        scheme: The word before the key, such as `Bearer` in `authorization`; case-insensitive.
    """
    name = header.lower().encode("ascii")
    find = lookup.get if isinstance(lookup, Mapping) else lookup
    prefix = f"{scheme.lower()} " if scheme else ""

    def identify(scope: Scope) -> Identity | Awaitable[Identity]:
        value = None
        for each, text in request_headers(scope):  # a comprehension costs a third of the whole call
            if each == name:
                if value is not None:
                    return None
                value = text
        if value is None:
            return None
        try:
            key = value.decode("ascii").strip()
        except UnicodeDecodeError:
            return None
        if prefix:
            if not key.lower().startswith(prefix):
                return None
            key = key[len(prefix) :].strip()
        return find(key) if key else None

    return identify


def client_ip(
    *, trusted_proxies: int | Collection[str], ipv6_prefix: int = 64, header: str = "x-forwarded-for"
) -> Identify:
    """
    Identify by the client's address.

    Args:
        trusted_proxies: Number of proxies of your own that append to the header. The address is
            counted from the right, so an entry that a client wrote is never read. 0 if clients
            connect directly. Or their networks, such as `["10.0.0.0/8", "unix:"]`: the address is
            the first from the right that is in none of them; `unix:` is a proxy on a unix socket.
        ipv6_prefix: Leading bits of an IPv6 address that identify a client. A household or a
            server is assigned a network of 64; 128 makes one client of every address.
        header: The header that the proxies write: `x-forwarded-for`, or `forwarded` (RFC 7239).

    Raises:
        ValueError: If *trusted_proxies* is neither an int of 0 or more nor a collection of networks,
            *ipv6_prefix* is not an int from 1 to 128, or *header* is neither of the two.
    """
    if type(ipv6_prefix) is not int or not 1 <= ipv6_prefix <= 128:
        raise ValueError(f"ipv6_prefix {ipv6_prefix!r} must be an int from 1 to 128")
    return client_address(forwarded_hops(header), trusted_proxies, lambda address: _client_id(address, ipv6_prefix))


def check_identify(identify: object) -> None:
    """
    Check that *identify* can be called with a scope and return an identity.

    Raises:
        TypeError: If it cannot.
    """
    cure = "see entitlements.http.identify for ready-made ones"
    if not callable(identify):
        raise TypeError(f"identify {identify!r} must be a callable from the ASGI scope to an account's id; {cure}")
    if identify in (api_key, authenticated_user, client_ip, state_value):
        name = identify.__name__  # type: ignore[attr-defined]
        raise TypeError(f"identify is {name} itself; call it, as in identify={name}(...)")
    if not takes(identify, {}):
        raise TypeError(f"identify {identify!r} cannot be called with the ASGI scope alone; {cure}")
    if is_generator(identify) or any(map(inspect.isasyncgenfunction, (identify, type(identify).__call__))):
        raise TypeError(f"identify {identify!r} is a generator; return the account instead of yielding it")


def is_malformed_id(identity: object) -> bool:
    """Return True for a str that is no valid id; an object of another type is no id at all."""
    with suppress(ValueError):
        check_id(identity)
        return False
    return isinstance(identity, str)


def _client_id(address: Address, prefix: int) -> str:
    """Return an address, or the IPv6 network that it is in."""
    if prefix == 128 or isinstance(address, ipaddress.IPv4Address):
        return str(address)
    return str(ipaddress.IPv6Network((int(address), prefix), strict=False))
