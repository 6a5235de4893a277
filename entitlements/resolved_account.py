"""A resolved account: its entitlements and how long they hold, and the errors about an account that is not there."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass, field
from typing import TYPE_CHECKING, Any

from entitlements.errors import AccountError, UnknownAccount
from entitlements.model.account import Account
from entitlements.model.names import check_id
from entitlements.model.policy import cure_of_order
from entitlements.model.resolution import charges_of, prepared_of, resolution_of
from entitlements.policy.accounts import bind

if TYPE_CHECKING:
    from collections.abc import Mapping

    from entitlements.model.answers import Outdated
    from entitlements.model.charge import Charge
    from entitlements.model.entitlements import Entitlements
    from entitlements.rules.planning import PreparedCharge


def account_id(account: object) -> str:
    """
    Return the id that *account*, an id or an `Account`, stands for.

    Raises:
        AccountError: For anything else, and for an invalid id.
    """
    if isinstance(account, Account):
        return account.id
    try:
        return check_id(account)
    except ValueError as error:
        raise AccountError(f"{error}, or an Account" if not isinstance(account, str) else str(error)) from None


def no_accounts_error(id: str) -> UnknownAccount:
    """Return the error for an id that cannot be looked up, because the enforcer has no source of accounts."""
    return UnknownAccount(
        f"account {id!r}: this enforcer was built without accounts=; pass Account objects, or accounts="
    )


@dataclass(slots=True, eq=False, repr=False)
class ResolvedAccount:
    """
    An account's entitlements, and how long they may be used; all times in microseconds.

    Args:
        entitlements: The resolved entitlements.
        account: The account that they were resolved from; None for an unknown account.
        since: First instant at which they hold.
        until: First instant at which they no longer do.
        loaded_at: When the account was loaded.
        fresh_for: Time to live of the account, from *loaded_at*.
        version: The version of the account that was known before it was loaded; None if its charges carry none.
    """

    entitlements: Entitlements
    account: Account | None
    _: KW_ONLY
    since: int
    until: int
    loaded_at: int
    fresh_for: int
    version: int | None = None
    is_invalidated: bool = field(default=False, init=False)
    """True once the account is known to have changed at its source."""
    answers: Mapping[str, bool] = field(init=False)
    charges: dict[Any, PreparedCharge] = field(init=False)
    made: dict[Any, Charge] = field(init=False)

    def __post_init__(self) -> None:
        self.answers = resolution_of(self.entitlements).answers
        self.charges = prepared_of(self.entitlements).charges
        self.made = charges_of(self.entitlements).made


def require_account(kept: ResolvedAccount) -> Account:
    """
    Return the account itself, with its values as its policy reads them.

    Raises:
        UnknownAccount: For an unknown account, whatever `unknown_account` of the policy says.
    """
    if kept.account is None:
        id = kept.entitlements.account
        cure = cure_of_order(kept.entitlements.policy, id) or "; add it first"
        raise UnknownAccount(f"account {id!r}: there is no such account{cure}")
    return bind(kept.entitlements.policy, kept.account)


def require_known(kept: ResolvedAccount) -> Entitlements:
    """
    Return the entitlements of an account: a typing error in an id must not create or read another record.

    Raises:
        UnknownAccount: For an unknown account, unless `unknown_account` of the policy names a tier for it.
    """
    policy = kept.entitlements.policy
    if kept.account is None and policy.tier(policy.unknown_account) is None:
        require_account(kept)
    return kept.entitlements


class AccountOutdated(Exception):
    """An order was not carried out, because its account is outdated; *answer* is the store's."""

    def __init__(self, answer: Outdated) -> None:
        super().__init__(answer)
        self.answer = answer
