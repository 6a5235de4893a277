"""A change of an account in one transaction: the account, its parts, its audit row, and the outside event if there is one."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from entitlements.accounts.sql.audit import AuditEntry, EventOutcome
from entitlements.accounts.sql.edits import Edit, Scene, checked, differences
from entitlements.accounts.sql.errors import ChangedMeanwhile, Conflict
from entitlements.accounts.sql.notifications import notify
from entitlements.accounts.sql.reading import read_rows
from entitlements.accounts.sql.rows import StoredAccount, moment_of, read_account
from entitlements.accounts.sql.tables import ACCOUNTS, ADD_ONS, AUDIT, CHANGES, EVENTS, GRANTS, OVERRIDES, TRIALS
from entitlements.accounts.sql.values import write_anchor, write_attributes, write_value
from entitlements.errors import AccountError
from entitlements.model.account import Account
from entitlements.model.display import in_json
from entitlements.model.instants import check_moment
from entitlements.model.names import check_id, shown

if TYPE_CHECKING:
    from sqlalchemy import Connection, Table


Noted = Mapping[str, tuple[Any, Any]]
"""Parts that differ, each before and after."""


@dataclass(frozen=True, slots=True)
class Event:
    """
    An outside event.

    Args:
        id: Its id, which is applied once.
        at: When it happened, by the clock of its sender (aware).
        order: Decides between two events of one instant: the higher is the newer.
    """

    id: str
    at: datetime
    order: int = 0

    def __post_init__(self) -> None:
        try:
            check_id(self.id, "event id")
            check_moment(self.at, "at")
        except ValueError as error:
            raise AccountError(str(error)) from None
        if type(self.order) is not int:
            raise AccountError(f"order {shown(self.order)} of event {self.id!r} must be an int")


@dataclass(frozen=True, slots=True)
class Order:
    """
    A change to be stored.

    Args:
        id: The account.
        action: The verb.
        edit: The change.
        scene: Its policy and its instant.
        reason: The reason.
        author: The person or program that makes it.
        version: The version at which the account must be; None for any.
        event: The outside event that it comes from, if any.
        noted: Changes of what is kept elsewhere, for the audit row.
    """

    id: str
    action: str
    edit: Edit
    scene: Scene
    reason: str
    author: str
    version: int | None = None
    event: Event | None = None
    noted: Noted = field(default_factory=dict)

    def __post_init__(self) -> None:
        try:
            check_id(self.id)
        except ValueError as error:
            raise AccountError(str(error)) from None
        for what, text in (("reason", self.reason), ("author", self.author)):
            if not isinstance(text, str) or not text.strip() or "\0" in text:
                raise AccountError(f"{self.action} of {self.id!r}: {what} {shown(text)} is empty or no text; say it")


@dataclass(frozen=True, slots=True)
class Stored:
    """
    The result of an order.

    Args:
        account: The account after the change; as it was before where the change closes it.
        outcome: What came of the outside event, where there is one.
    """

    account: Account | None
    outcome: EventOutcome = EventOutcome.APPLIED


def carry_out(connection: Connection, order: Order, url: str) -> Stored:
    """
    Carry out an order within the transaction of *connection*.

    Raises:
        Conflict: If another transaction changed the account meanwhile: the whole is to be repeated.
        ChangedMeanwhile: If the account is not at the version that the order names.
        AccountError: For a change that is refused, and a row that is no account.
    """
    rows = read_rows(connection, [order.id], url).get(order.id)
    before = None if rows is None else read_account(order.id, rows)
    account = before.account if before else None
    event = order.event
    if event is not None and (outcome := _outcome(connection, event, before, order)) is not EventOutcome.APPLIED:
        return Stored(account, outcome)
    version = before.version if before else 0
    if order.version is not None and order.version != version:
        raise ChangedMeanwhile(f"account {order.id!r} is at version {version}, not {order.version}; read it again")
    after = checked(account, order.edit(account, order.scene), order.scene)
    if after is not None and after.id != order.id:
        raise AccountError(f"account {order.id!r}: the change gives account {after.id!r}; keep the id")
    _write(connection, order, before, after)
    return Stored(account if after is None else after)


def _outcome(connection: Connection, event: Event, before: StoredAccount | None, order: Order) -> EventOutcome:
    """Take note of an event; return whether it is to be applied."""
    if connection.execute(select(EVENTS.c.id).where(EVENTS.c.id == event.id)).first() is not None:
        return EventOutcome.REPEATED
    newest = before.event if before else None
    is_older = newest is not None and (event.at, event.order) < newest
    outcome = EventOutcome.OUTDATED if is_older else EventOutcome.APPLIED
    row = {
        "id": event.id,
        "account": order.id,
        "at": event.at,
        "received": order.scene.moment,
        "outcome": outcome.value,
    }
    try:
        connection.execute(insert(EVENTS).values(row))
    except IntegrityError as error:  # another process takes the same event: look again once it has
        raise Conflict from error
    return outcome


def _write(connection: Connection, order: Order, before: StoredAccount | None, after: Account | None) -> None:
    now, event = order.scene.moment, order.event
    version = (before.version if before else 0) + 1
    root: dict[str, Any] = {"version": version, "changed": now, "closed": now if after is None else None}
    if after is not None:
        root |= {"tier": after.tier, "status": str(after.status), "anchor": write_anchor(after.anchor)}
        root["time_zone"] = after.time_zone
        root["attributes"] = write_attributes(after.attributes)
    if event is not None:
        root |= {"event_at": event.at, "event_order": event.order}
    if before is None:
        unknown = {"id": order.id, "tier": "", "status": "active", "created": now}
        try:
            connection.execute(insert(ACCOUNTS).values(unknown | root))
        except IntegrityError as error:
            raise Conflict from error
    else:
        at_version = (ACCOUNTS.c.id == order.id) & (ACCOUNTS.c.version == before.version)
        if connection.execute(update(ACCOUNTS).where(at_version).values(root)).rowcount != 1:
            raise Conflict
    old = before.account if before else None
    for table, part, rows in _parts(after):
        if old is None or after is None or getattr(old, part) != getattr(after, part):
            connection.execute(delete(table).where(table.c.account == order.id))
            if rows:
                connection.execute(insert(table), [{"account": order.id, **row} for row in rows])
    changed = {
        part: {"before": in_json(_plain(was)), "after": in_json(_plain(now_is))}
        for part, (was, now_is) in {**differences(old, after), **order.noted}.items()
    }
    entry = {"account": order.id, "version": version, "at": now, "action": order.action, "reason": order.reason}
    entry |= {"author": order.author, "event": event and event.id, "changed": json.dumps(changed, default=str)}
    connection.execute(insert(AUDIT).values(entry))
    notify(connection, order.id)


def _parts(account: Account | None) -> list[tuple[Table, str, list[dict[str, Any]]]]:
    """Return the tables of the parts of an account, each with its rows."""
    if account is None:
        return [(table, part, []) for table, part in _TABLES]
    trial = account.trial
    rows: dict[str, list[dict[str, Any]]] = {
        "trial": [] if trial is None else [{"tier": trial.tier, "starts": trial.starts, "ends": trial.ends}],
        "overrides": [
            {"name": each.name, "value": write_value(each.name, each.value), "reason": each.reason,
             "author": each.author, "starts": each.starts, "expires": each.expires}
            for each in account.overrides
        ],
        "grants": [
            {"name": each.limit, "amount": each.amount, "reason": each.reason, "starts": each.starts,
             "expires": each.expires}
            for each in account.grants
        ],
        "add_ons": [{"name": name, "quantity": quantity} for name, quantity in account.add_ons.items()],
        "changes": [{"tier": each.tier, "at": each.at} for each in account.changes],
    }  # fmt: skip
    return [(table, part, rows[part]) for table, part in _TABLES]


_TABLES = (
    (TRIALS, "trial"),
    (OVERRIDES, "overrides"),
    (GRANTS, "grants"),
    (ADD_ONS, "add_ons"),
    (CHANGES, "changes"),
)


def _plain(value: Any) -> Any:
    """Return a part of an account as dicts and lists."""
    if isinstance(value, tuple):
        return [_plain(each) for each in value]
    slots = getattr(value, "__dataclass_fields__", None)
    return {name: getattr(value, name) for name in slots} if slots else value


def audit_of(
    connection: Connection, id: str, size: int | None = None, before: int | None = None
) -> tuple[AuditEntry, ...]:
    """Return the newest *size* changes of an account, or all of them, before a version if one is given."""
    statement = select(AUDIT).where(AUDIT.c.account == id).order_by(AUDIT.c.version.desc(), AUDIT.c.id.desc())
    if before is not None:
        statement = statement.where(AUDIT.c.version < before)
    return tuple(
        AuditEntry(
            row["account"], row["version"], moment_of(row["at"]), row["action"], row["reason"], row["author"],
            row["event"], json.loads(row["changed"]),
        )
        for row in connection.execute(statement.limit(size)).mappings()
    )  # fmt: skip


def ids_after(
    connection: Connection, after: str | None, most: int, prefix: str = "", tiers: Collection[str] = ()
) -> list[str]:
    """
    Return ids of accounts that are not closed, in the order of the database, from the one after *after*.

    Args:
        connection: A connection.
        after: An id; None for the beginning.
        most: Most ids.
        prefix: Of the ids.
        tiers: Own tiers of the accounts, as stored; empty for any.
    """
    statement = select(ACCOUNTS.c.id).where(ACCOUNTS.c.closed.is_(None)).order_by(ACCOUNTS.c.id).limit(most)
    if after is not None:
        statement = statement.where(ACCOUNTS.c.id > after)
    if prefix:  # LIKE can use an index, and ignores the case in SQLite
        statement = statement.where(
            ACCOUNTS.c.id.startswith(prefix, autoescape=True), func.substr(ACCOUNTS.c.id, 1, len(prefix)) == prefix
        )
    if tiers:
        statement = statement.where(ACCOUNTS.c.tier.in_(tiers))
    return list(connection.execute(statement).scalars())


def version_of(connection: Connection, id: str) -> int:
    """Return the version of an account; 0 if there is none."""
    return connection.execute(select(ACCOUNTS.c.version).where(ACCOUNTS.c.id == id)).scalar() or 0
