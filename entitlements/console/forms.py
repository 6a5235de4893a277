"""Changes that the console offers: for each a form, and the verb of the accounts that it calls."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from entitlements.accounts.csv.cells import read_moment, read_value

if TYPE_CHECKING:
    from entitlements.model.account import Account
    from entitlements.model.policy import PolicyData

LONGEST = 500
"""Most characters of a field."""


@dataclass(frozen=True, slots=True)
class FormField:
    """
    A field of a form.

    Args:
        name: Its name in the request.
        label: Its label.
        read: Returns its value from the text.
        choices: Returns what can be chosen, from the policy and the account; None for a text.
        kind: text, number, moment or check.
        hint: A sentence below it.
        is_needed: Whether it must be given.
        is_open: Whether another text than a choice may be given.
    """

    name: str
    label: str
    read: Callable[[str], Any] = str
    choices: Callable[[PolicyData, Account], list[tuple[str, str]]] | None = None
    kind: str = "text"
    hint: str = ""
    is_needed: bool = True
    is_open: bool = False


@dataclass(frozen=True, slots=True)
class ChangeForm:
    """
    A change of an account.

    Args:
        name: Its name in the request.
        title: The heading.
        about: One sentence.
        fields: Of the form, besides reason and author.
        positional: The names of fields that the verb takes in order after the id.
        done: A sentence after it is done.
        verb: The verb of the accounts, if it has another name.
        fixed: What the verb takes in order after the id, before the fields.
    """

    name: str
    title: str
    about: str
    fields: tuple[FormField, ...] = ()
    positional: tuple[str, ...] = ()
    done: str = "The account was changed."
    verb: str = ""
    fixed: tuple[Any, ...] = ()

    def call(self, tables: Any, id: str, values: Mapping[str, Any], options: Mapping[str, Any]) -> Any:
        """Return the result of the verb, an account or an awaitable of one."""
        given = {name: value for name, value in values.items() if value is not None}
        order = [*self.fixed, *(given.pop(name, None) for name in self.positional)]
        return getattr(tables, self.verb or self.name)(id, *order, **given, **options)

    def read(self, form: Mapping[str, str]) -> tuple[dict[str, Any], dict[str, str]]:
        """Return the values of the fields, and the problems of those that cannot be read, by field."""
        values: dict[str, Any] = {}
        problems: dict[str, str] = {}
        for each in self.fields:
            text = form.get(each.name, "").strip()
            if not text:
                values[each.name] = None
                if each.is_needed:
                    problems[each.name] = f"{each.label} is missing."
                continue
            try:
                values[each.name] = each.read(text)
            except ValueError as error:
                problems[each.name] = str(error)
        return values, problems


def _tiers(policy: PolicyData, account: Account) -> list[tuple[str, str]]:
    sold = [tier for tier in policy.tiers.values() if tier.is_sold and tier.id != account.tier]
    return [(tier.id, tier.name) for tier in sorted(sold, key=lambda tier: -tier.rank)]


def _trial_tiers(policy: PolicyData, account: Account) -> list[tuple[str, str]]:
    own = policy.tier(account.tier)
    return [(each.id, each.name) for each in policy.tiers.values() if own is None or each.is_at_least(own)]


def _limits(policy: PolicyData, _: Account) -> list[tuple[str, str]]:
    return [(name, limit.about) for name, limit in policy.limits.items()]


def _granted(_: PolicyData, account: Account) -> list[tuple[str, str]]:
    return [(name, "") for name in dict.fromkeys(grant.limit for grant in account.grants)]


def _overridden(_: PolicyData, account: Account) -> list[tuple[str, str]]:
    return [(name, "") for name in dict.fromkeys(each.name for each in account.overrides)]


def _names(policy: PolicyData, _: Account) -> list[tuple[str, str]]:
    return [(name, "") for name in (*policy.features, *policy.limits, *sorted(policy.keys))]


def _add_ons(policy: PolicyData, _: Account) -> list[tuple[str, str]]:
    return [(name, each.about) for name, each in policy.add_ons.items()]


def _whole(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 16):
        raise ValueError(f"{text[:40]!r} is not a whole number; write digits only")
    return int(text)


def _moment(text: str) -> datetime:
    return read_moment(text)


_BEGINS = FormField("at", "Begins", _moment, kind="moment", hint="UTC. Empty: at once.", is_needed=False)
_EXPIRES = FormField("expires", "Ends", _moment, kind="moment", hint="UTC. Empty: never.", is_needed=False)

FORMS = {
    form.name: form
    for form in (
        ChangeForm(
            "set_tier", "Change of tier", "Move the account to another tier, now or later.",
            (
                FormField("tier", "Tier", choices=_tiers),
                _BEGINS,
                FormField(
                    "waive_notice", "Waive the notice", lambda text: text == "on", kind="check", is_needed=False,
                    hint="Let a downgrade begin before the end of its notice.",
                ),
            ),
            ("tier",), "The tier was changed.",
        ),
        ChangeForm(
            "grant", "Grant", "Add units of a limit until they end.",
            (
                FormField("limit", "Limit", choices=_limits),
                FormField("amount", "Units", _whole, kind="number", hint="They are added to what the tier gives."),
                _BEGINS,
                _EXPIRES,
            ),
            ("limit", "amount"), "The grant was added.",
        ),
        ChangeForm(
            "override", "Override", "Set a final value for one name, in place of all other sources.",
            (
                FormField("name", "Name", choices=_names, is_open=True, hint="A feature, a limit or a value."),
                FormField("value", "Value", read_value, hint="As in a policy: true, 50, standard, unlimited, not-included."),
                _BEGINS,
                _EXPIRES,
            ),
            ("name", "value"), "The override was set.",
        ),
        ChangeForm(
            "add_on", "Add-on", "Set the quantity of an add-on; 0 takes it away.",
            (FormField("name", "Add-on", choices=_add_ons), FormField("quantity", "Quantity", _whole, kind="number")),
            ("name", "quantity"), "The add-on was changed.",
        ),
        ChangeForm(
            "set_trial", "Trial", "Let the account try a tier until an instant.",
            (
                FormField("tier", "Tier on trial", choices=_trial_tiers),
                FormField("ends", "Ends", _moment, kind="moment", hint="UTC. Empty: the length of the trial plan.", is_needed=False),
            ),
            ("tier", "ends"), "The trial was started.",
        ),
        ChangeForm(
            "end_trial", "End of a trial", "End the trial; the account's own tier remains.", (), (), "The trial was ended.",
            "set_trial", (None,),
        ),
        ChangeForm(
            "end_grants", "End of grants", "Take all grants of a limit away.",
            (FormField("limit", "Limit", choices=_granted),), ("limit",), "The grants were taken away.",
        ),
        ChangeForm(
            "end_override", "End of an override", "Take the overrides of a name away.",
            (FormField("name", "Name", choices=_overridden),), ("name",), "The override was taken away.",
        ),
        ChangeForm("suspend", "Suspension", "Refuse the account everything.", done="The account was suspended."),
        ChangeForm("resume", "Resumption", "End the suspension of the account.", done="The account was resumed."),
    )
}  # fmt: skip
"""By name."""


def offered(account: Account, policy: PolicyData) -> list[ChangeForm]:
    """Return the changes that the account can have now."""
    is_suspended = account.status == "suspended"
    hidden = {"suspend" if is_suspended else "resume"}
    hidden |= {"set_trial" if account.trial else "end_trial"}
    hidden |= set() if account.grants else {"end_grants"}
    hidden |= set() if account.overrides else {"end_override"}
    hidden |= set() if policy.add_ons else {"add_on"}
    hidden |= set() if policy.limits else {"grant"}
    return [form for form in FORMS.values() if form.name not in hidden]
