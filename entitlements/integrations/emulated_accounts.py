"""Accounts of the emulator: those that a test sets, read from JSON, in front of those of a source."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Protocol

from entitlements.errors import AccountError
from entitlements.integrations.json_app import UnreadableRequest
from entitlements.model.account import Account, Change, Grant, Override, Trial
from entitlements.model.names import nearest_or_all, shown
from entitlements.model.policy import PolicyData
from entitlements.policy.accounts import bind

FIELDS = ("id", "tier", "trial", "anchor", "time_zone", "add_ons", "overrides", "grants", "changes", "attributes",
          "status")  # fmt: skip
"""Arguments of an account: those of `Account`."""
_PARTS: dict[str, type] = {"overrides": Override, "grants": Grant, "changes": Change}
_INSTANTS = ("starts", "ends", "expires", "at")


class AccountSource(Protocol):
    """A source of the accounts that no test has set."""

    def find(self, id: str, /) -> Account | None:
        """Return the account, or None."""
        ...


class EmulatedAccounts:
    """Accounts that a test has set, in front of those of a source."""

    def __init__(self, source: AccountSource | None) -> None:
        self._source = source
        self.set: dict[str, Account] = {}

    def find(self, id: str, /) -> Account | None:
        """Return the account that a test has set, or that of the source."""
        found = self.set.get(id)
        return found or (self._source.find(id) if self._source else None)


def read_account(policy: PolicyData, given: dict[str, Any]) -> Account:
    """
    Return an account that a test sets; instants are texts, and parts are objects with the arguments of their class.

    Raises:
        AccountError: For an account that is invalid, or does not fit the policy, also by its tier.
        UnreadableRequest: For a part or an instant that is none.
    """
    found = dict(given)
    if isinstance(found.get("anchor"), str):
        found["anchor"] = read_instant("anchor", found["anchor"])
    if found.get("trial") is not None:
        found["trial"] = _part("trial", Trial, {"starts": None, **_object("trial", Trial, found["trial"])})
    for name, kind in _PARTS.items():
        if name in found:
            found[name] = [_part(name, kind, each) for each in _items(name, found[name])]
    account = Account(**found)
    tiers = [
        account.tier,
        *(change.tier for change in account.changes),
        *([account.trial.tier] if account.trial else []),
    ]
    for tier in tiers:
        if policy.tier(tier) is None:
            raise AccountError(
                f"account {account.id!r}: tier {tier!r} is not in the policy{nearest_or_all(tier, policy.tiers)}"
            )
    return bind(policy, account)


def read_instant(name: str, text: object) -> datetime:
    """
    Return an instant that is written as ISO 8601, with its offset.

    Raises:
        UnreadableRequest: For anything else.
    """
    try:
        found = datetime.fromisoformat(text)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        found = None
    if found is None or found.tzinfo is None:
        raise UnreadableRequest(f"{name} {shown(text)} is no instant; write it like 2026-03-10T12:00:00Z")
    return found


def _items(name: str, given: object) -> list[Any]:
    if not isinstance(given, list):
        raise UnreadableRequest(f"{name} {shown(given)} is no array; write an array of objects")
    return given


def _object(name: str, kind: type, given: object) -> dict[str, Any]:
    if not isinstance(given, dict):
        raise UnreadableRequest(f"{name}: {shown(given)} is no object; write the arguments of {kind.__name__} in one")
    return given


def _part(name: str, kind: type, given: object) -> Any:
    found = {
        key: read_instant(f"{name}: {key}", value) if key in _INSTANTS and value is not None else value
        for key, value in _object(name, kind, given).items()
    }
    try:
        return kind(**found)
    except TypeError as error:
        raise UnreadableRequest(f"{name}: {str(error).removeprefix(f'{kind.__name__}.__init__() ')}") from None
