"""Storage URLs: parses a storage URL of `limits` and its options into the configuration of a store."""

from __future__ import annotations

from typing import Any, NamedTuple
from urllib.parse import parse_qsl, urlencode

from limits.errors import ConfigurationError

from entitlements.model.instants import SECOND

PREFIX = "entitlements+"
"""Prefix of a store's URL, by which `limits` finds the storage class."""

_DEADLINE = 0.25
_NETWORKED, _EMBEDDED = {"deadline"}, {"deadline", "max_keys", "when_full"}


class StorageConfig(NamedTuple):
    """
    The configuration of a storage.

    Args:
        url: The URL of the store; None for memory.
        namespace: Prefix of every key.
        deadline: Microseconds that a decision may wait for the store.
        memory: Arguments of the memory store.
    """

    url: str | None
    namespace: str
    deadline: int
    memory: dict[str, Any]


def parse_storage_url(uri: str, options: dict[str, Any]) -> StorageConfig:
    """
    Return the configuration for a storage URL of `limits`.

    The namespace gets a suffix. `reset` deletes all its keys, which must never include the
    quotas of an `Enforcer` on the same server.

    Raises:
        ConfigurationError: If an option is unknown.
        ValueError: If the value of an option is invalid.
    """
    url, _, query = uri.removeprefix("async+").removeprefix(PREFIX).partition("?")
    parameters = dict(parse_qsl(query, keep_blank_values=True))
    embedded = url.startswith("memory:")
    known = _EMBEDDED if embedded else _NETWORKED
    options = {name: parameters.pop(name) for name in known & parameters.keys()} | options
    for name in options.keys() - known:
        raise ConfigurationError(
            f"storage option {name!r} is not known; {', '.join(sorted(known))} and wrap_exceptions are,"
            " and what concerns the connection stands in the URL: ?namespace=shop&max_connections=8"
        )
    namespace = f"{parameters.pop('namespace', 'ent')}.limits"
    deadline = _deadline(options.pop("deadline", _DEADLINE))
    if not embedded:
        return StorageConfig(f"{url}?{urlencode(parameters)}" if parameters else url, namespace, deadline, {})
    for name in parameters:
        raise ValueError(f"storage URL {url!r}: option {name!r} is not known; {', '.join(sorted(known))} are")
    return StorageConfig(None, namespace, deadline, _memory_options(options))


def _memory_options(options: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments of the memory store; a number in a URL is a str."""
    if "max_keys" not in options:
        return options
    try:
        return options | {"max_keys": int(options["max_keys"])}
    except (TypeError, ValueError):
        raise ValueError(f"max_keys {options['max_keys']!r} must be an int of at least 1") from None


def _deadline(seconds: object) -> int:
    try:
        deadline = round(float(str(seconds)) * SECOND)
    except (ValueError, OverflowError):
        deadline = 0
    if deadline < 1:
        raise ValueError(f"deadline {seconds!r} must be a number of seconds above 0, such as 0.25")
    return deadline
