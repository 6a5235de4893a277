"""Changes of an account: the form, its preview, and the change itself once the preview is confirmed."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from entitlements.clock import system_clock
from entitlements.console.calls import call
from entitlements.console.forms import FORMS, LONGEST, ChangeForm, offered
from entitlements.console.pages.preview import preview_values
from entitlements.console.visit import PageError, Visit
from entitlements.errors import AccountError, StoreError, UnknownAccount
from entitlements.model.instants import to_datetime, to_instant
from entitlements.model.names import FORBIDDEN
from entitlements.policy.accounts import bind
from entitlements.presentation.accounts import in_text
from entitlements.presentation.formatting import format_named
from entitlements.rules.resolve import resolve
from entitlements.tiering.differences import of_entitlements

if TYPE_CHECKING:
    from datetime import datetime

    from starlette.responses import Response

    from entitlements.model.account import Account
    from entitlements.model.policy import PolicyData

_log = logging.getLogger("entitlements.console")

_SIGNED = ("reason", "author")


@dataclass(frozen=True, slots=True)
class ChangeEffect:
    """
    The effect of a change on what an account may do.

    Args:
        at: The instant for which it is shown.
        rows: Name, direction, before and after in words.
    """

    at: datetime
    rows: Sequence[tuple[str, str, str, str]]


class PolicyOnly:
    """The enforcer that a verb of the accounts checks a change by; the console invalidates the account itself."""

    def __init__(self, policy: PolicyData) -> None:
        self.policy = policy

    def invalidate(self, account: str, /) -> None:
        """Do nothing."""


class AsyncPolicyOnly(PolicyOnly):
    """`PolicyOnly` for `AsyncSqlAccounts`."""

    async def invalidate(self, account: str, /) -> None:  # type: ignore[override]
        """Do nothing."""

    async def aclose(self) -> None:
        """Do nothing."""


async def change_form(visit: Visit) -> Response:
    """Return the page with the changes that an account can have, or the form of one of them."""
    account = await visit.account(visit.param("id"))
    verb = visit.param("verb")
    given = {name: visit.param(name) for name in ("tier", "limit", "name")}
    return _form_page(visit, account, _form(verb) if verb else None, given)


async def preview_change(visit: Visit) -> Response:
    """Return the page that shows a change as it will act, with the button that makes it."""
    form, fields, account = await _sent(visit)
    if not visit.accepts(fields.get("token", ""), "form", visit.access.author or ""):
        said = "The form is out of date, or was not sent by you; look at it and send it again."
        return _form_page(visit, account, form, fields, 403, problems={"": said})
    values, problems = form.read(fields)
    signed = _signed(visit, fields, problems)
    if problems:
        return _form_page(visit, account, form, fields, 422, problems=problems)
    version = await visit.services.directory.version(account.id)
    try:
        after = await _carry_out(visit, form, account.id, values, signed, version, dry_run=True)
    except AccountError as error:
        return _form_page(visit, account, form, fields, 422, problems={"": str(error)})
    kept = _kept(form, fields, signed)
    found = await _tier_preview(visit, form, account, values)
    return visit.render_form(
        "confirm.html", {"token": _purpose(visit, form, account.id, kept, version)},
        account=account, form=form, kept=kept, version=version, signed=signed, parts=_parts(account, after),
        effect=_effect(visit.policy, account, after, values.get("at")), shown=found, tab="change",
    )  # fmt: skip


async def confirm_change(visit: Visit) -> Response:
    """Make a change that was previewed, and return to the account."""
    form, fields, account = await _sent(visit)
    version = fields.get("version", "")
    values, problems = form.read(fields)
    signed = _signed(visit, fields, problems)
    is_number = version.isascii() and version.isdigit() and len(version) < 16
    kept = _kept(form, fields, signed)
    if problems or not is_number or not visit.accepts(
        fields.get("token", ""), *_purpose(visit, form, account.id, kept, int(version))
    ):  # fmt: skip
        said = "This change was not previewed by you, or too long ago; look at it again before it is made."
        return _form_page(visit, account, form, fields, 403, problems={"": said, **problems})
    try:
        await _carry_out(visit, form, account.id, values, signed, int(version), dry_run=False)
    except AccountError as error:
        return _form_page(visit, account, form, fields, 409, problems={"": str(error)})
    try:
        await visit.services.enforcer.invalidate(account.id)
    except StoreError as error:
        _log.warning(
            "the change is stored, and other processes have not heard of it yet: %s", error, extra={"error": str(error)}
        )
    return visit.redirect("account", id=account.id, done=form.name)


async def _sent(visit: Visit) -> tuple[ChangeForm, dict[str, str], Account]:
    """Return the change, the fields and the account of a form that was sent by someone who may change accounts."""
    if visit.unchangeable:
        raise PageError(403, visit.unchangeable)
    fields = await visit.form()
    form = _form(fields.get("verb", ""))
    account = await visit.account(fields.get("id", ""))
    return form, fields, account


def _form(verb: str) -> ChangeForm:
    if verb not in FORMS:
        raise PageError(404, f"There is no change {verb[:40]!r}; the changes are {', '.join(FORMS)}.")
    return FORMS[verb]


def _form_page(
    visit: Visit,
    account: Account,
    form: ChangeForm | None,
    fields: Mapping[str, str],
    status: int = 200,
    *,
    problems: Mapping[str, str] | None = None,
) -> Response:
    choices = {each.name: each.choices(visit.policy, account) for each in form.fields if each.choices} if form else {}
    purpose = {"token": ("form", visit.access.author or "")}
    return visit.render_form(
        "change.html", purpose, status, account=account, form=form, fields=fields, choices=choices,
        problems=problems or {}, offered=offered(account, visit.policy), tab="change", longest=LONGEST,
    )  # fmt: skip


def _signed(visit: Visit, fields: Mapping[str, str], problems: dict[str, str]) -> dict[str, str]:
    """Return reason and author; add what is wrong with them to *problems*."""
    signed = {
        "reason": fields.get("reason", "").strip(),
        "author": visit.access.author or fields.get("author", "").strip(),
    }
    for name, text in signed.items():
        if not text:
            problems[name] = f"The {name} is missing; it stands in the audit."
    for name, text in {**fields, **signed}.items():
        if len(text) > LONGEST:
            problems[name] = f"The field has {len(text)} characters; {LONGEST} are the most."
        elif FORBIDDEN.search(text):
            problems[name] = "The field holds control characters; leave them out."
    return signed


def _kept(form: ChangeForm, fields: Mapping[str, str], signed: Mapping[str, str]) -> dict[str, str]:
    """Return the fields that the confirmation sends again."""
    return {**{each.name: fields.get(each.name, "").strip() for each in form.fields}, **signed}


def _purpose(visit: Visit, form: ChangeForm, id: str, kept: Mapping[str, str], version: int) -> tuple[str, ...]:
    """Return what the token of a confirmation stands for: this change of this version of this account, by this author."""
    digest = hashlib.sha256(json.dumps([form.name, id, sorted(kept.items()), version]).encode()).hexdigest()
    return ("confirm", visit.access.author or "", digest)


async def _carry_out(
    visit: Visit,
    form: ChangeForm,
    id: str,
    values: Mapping[str, Any],
    signed: Mapping[str, str],
    version: int,
    *,
    dry_run: bool,
) -> Account:
    directory = visit.services.directory
    checker = (AsyncPolicyOnly if directory.is_async else PolicyOnly)(visit.policy)
    options = {**signed, "version": version, "enforcer": checker, "dry_run": dry_run}
    after: Account = await call(form.call, directory.tables, id, values, options, is_async=directory.is_async)
    return after


async def _tier_preview(
    visit: Visit, form: ChangeForm, account: Account, values: Mapping[str, Any]
) -> dict[str, Any] | None:
    """Return the effects of a change of tier on the units in use."""
    if form.name != "set_tier":
        return None
    try:
        found = await visit.services.enforcer.plan_change(account, values["tier"])
    except (ValueError, UnknownAccount, StoreError):
        return None
    return preview_values(visit.policy, found)


def _parts(before: Account, after: Account) -> list[tuple[str, str, str]]:
    """Return the parts of the account that change, before and after in words."""
    from entitlements.accounts.sql.edits import differences

    return [
        (name.replace("_", " "), in_text(was), in_text(now)) for name, (was, now) in differences(before, after).items()
    ]


def _effect(policy: PolicyData, before: Account, after: Account, at: datetime | None) -> ChangeEffect | None:
    """Return what an account may do that it may not without the change, and the reverse; None if it cannot be told."""
    now = system_clock()
    moment = now if at is None else max(now, to_instant(at))
    try:
        was, will = (resolve(policy, bind(policy, each), moment) for each in (before, after))
    except (AccountError, UnknownAccount):
        return None
    rows = [
        (each.name, each.direction.value, format_named(policy, each.name, each.before), format_named(policy, each.name, each.after))
        for each in of_entitlements(was, will)
        if not each.name.endswith(".label")
    ]  # fmt: skip
    return ChangeEffect(to_datetime(moment), rows)
