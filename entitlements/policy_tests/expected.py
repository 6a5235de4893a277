"""Reads the expected answers of a tests file, in the types of their names."""

from __future__ import annotations

from entitlements.model.limits import NOT_INCLUDED
from entitlements.model.policy import NO_LEVEL, PolicyData
from entitlements.policy.accounts import read_override
from entitlements.policy.errors import InvalidValue

_WORDS = {"no-commitment": None, NOT_INCLUDED.value: NOT_INCLUDED}


def is_yes_or_no(policy: PolicyData, name: str, expected: object) -> bool:
    """Return True for switches, for `feature:level`, and for levels that are asked with yes or no."""
    base, colon, _ = name.partition(":")
    feature = policy.features.get(base)
    return feature is not None and (bool(colon) or not feature.levels or isinstance(expected, bool))


def read_expected(policy: PolicyData, name: str, written: object) -> object:
    """
    Return an expected answer as the policy has it.

    Args:
        policy: The policy under test.
        name: A feature, a `feature:level`, a limit or a value key.
        written: The answer, as a policy would write it.

    Raises:
        ValueError: For one that cannot be the answer.
    """
    if is_yes_or_no(policy, name, written):
        if written in (True, False):
            return written
        if written == NOT_INCLUDED.value:
            return False
        raise InvalidValue(f"{written!r} is no answer for {name!r}", "write true or false")
    if name in policy.features and written == NO_LEVEL:
        return NO_LEVEL
    if isinstance(written, str) and written in _WORDS:
        return _WORDS[written]
    return read_override(policy, name, written)
