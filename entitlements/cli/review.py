"""`entitlements review`: which accounts should move, of one or of all."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated

import typer

from entitlements.cli.options import AccountsOption, AtOption, JsonOption, PolicyOption, StoreOption

if TYPE_CHECKING:
    from collections.abc import Iterator

    from entitlements.cli.console import CliConsole
    from entitlements.enforcer import Enforcer
    from entitlements.model.account import Account
    from entitlements.policy import Policy
    from entitlements.tiering.reviews import BaseReview, Review

EVENTS = "events"
"""The column of the accounts that says what happened to their business, separated by `;`."""


@dataclass(slots=True)
class _Reviewer:
    """
    Reviews one account after the other.

    Args:
        policy: The policy in force.
        enforcer: Reads usage, where it is counted somewhere.
        now: The instant of the review, in microseconds.
        counted: Usage is counted in a store that can be asked.
        problems: Takes the accounts that cannot be reviewed, and why.
    """

    policy: Policy
    enforcer: Enforcer
    now: int
    counted: bool
    problems: list[str] = field(default_factory=list)

    def review(self, account: Account, events: tuple[str, ...] = ()) -> Review | None:
        """Return the review of an account; None, and why among the problems, if there can be none."""
        from entitlements.errors import AccountError, UnknownAccount
        from entitlements.policy.accounts import bind
        from entitlements.tiering.reviews import review as reviewed

        told = (*events, *_events(account))
        try:
            if self.counted:
                return self.enforcer.review(account, events=told)
            return reviewed(self.policy, bind(self.policy, account), now=self.now, events=told)
        except (AccountError, UnknownAccount) as error:
            self.problems.append(str(error))
        except ValueError as error:
            self.problems.append(f"account {account.id!r}: {EVENTS}: {error}")
        return None


def review(
    account: Annotated[
        str | None, typer.Argument(metavar="[ACCOUNT]", help="The account's id; left out, all.", show_default=False)
    ] = None,
    *,
    policy: PolicyOption = None,
    accounts: AccountsOption = None,
    store: StoreOption = None,
    event: Annotated[
        list[str] | None,
        typer.Option("--event", metavar="EVENT", help="What happened to the account's business; may be repeated."),
    ] = None,
    at: AtOption = None,
    as_json: JsonOption = False,
) -> int:
    """
    Say which accounts should move to another tier, and why.

    Weighs revenue, usage of the last months, requests and what happened to the business
    (the column `events`, or --event). Exits with 1 where an account cannot be reviewed.
    """
    from entitlements.cli.console import CliConsole
    from entitlements.cli.exit_codes import CommandError, ExitCode
    from entitlements.cli.loading import accounts_path, instant, open_accounts, open_policy
    from entitlements.enforcer import Enforcer
    from entitlements.model.names import nearest
    from entitlements.model.problem import Severity
    from entitlements.tiering.reviews import combine_reviews

    if event and account is None:
        raise CommandError("--event is about one account; name it, or write a column `events`", ExitCode.USAGE)
    now, loaded, path = instant(at), open_policy(policy), accounts_path(accounts)
    file = open_accounts(path, loaded)
    enforcer = Enforcer(loaded, accounts={}, clock=lambda: now, store=store or "memory://")
    reviewer = _Reviewer(loaded, enforcer, now, counted=store is not None)
    found = [file.find(id) for id in (file.ids() if account is None else [account])]
    if account is not None and found == [None]:
        raise CommandError(f"account {account!r} is not in {path}{nearest(account, file.ids())}", ExitCode.NO_ACCOUNT)
    if account is None:
        reviewer.problems += [str(problem) for problem in file.problems if problem.severity is Severity.ERROR]
    every = [reviewer.review(each, tuple(event or ())) for each in found if each is not None]
    base = combine_reviews(loaded, (each for each in every if each is not None))
    screen = CliConsole()
    if as_json:
        whole = base.to_dict() | {"problems": reviewer.problems}
        screen.put_json(whole if account is None or not base.reviews else base.reviews[0].to_dict())
    elif account is not None and base.reviews:
        _put_one(screen, base.reviews[0])
    elif account is None:
        _put_all(screen, base)
        if store is None:
            screen.put("usage was not looked at: add --store URL")
    if not as_json or account is not None:
        _put_problems(reviewer.problems)
    return ExitCode.NO if reviewer.problems else ExitCode.YES


def _events(account: Account) -> tuple[str, ...]:
    from entitlements.tiering.attributes import attribute_name

    told = [str(value) for name, value in account.attributes.items() if attribute_name(name) == EVENTS]
    return tuple(attribute_name(event) for text in told for event in text.split(";") if event.strip())


def _put_one(screen: CliConsole, review: Review) -> None:
    from entitlements.model.display import in_words

    to = f" to {review.to}" if review.to else ""
    notice = f", after a notice of {in_words(review.notice)}" if review.notice else ""
    screen.put(f"{review.account} ({review.tier}): {review.action}{to}{notice}")
    for head, lines in (
        ("because", [reason.text for reason in review.reasons]),
        ("also", [f"{other.text} ({other.speaks_for})" for other in review.others]),
        ("not known", review.unknown),
        ("steps", review.process),
    ):
        for at, line in enumerate(lines):
            screen.put(f"  {head if at == 0 else '':<9}  {line}")


def _put_all(screen: CliConsole, base: BaseReview) -> None:
    rows = [("account", "tier", "action", "to", "because"), *(_row(review) for review in base.reviews)]
    widths = [max(len(row[at]) for row in rows) for at in range(4)]
    for row in rows:
        cells = [f"{cell:<{width}}" for cell, width in zip(row, widths, strict=False)]
        screen.put("  ".join([*cells, row[4]]).rstrip())
    screen.put("")
    for line in _counts(base):
        screen.put(line)


def _row(review: Review) -> tuple[str, str, str, str, str]:
    gap = review.assignment.gap
    because = [reason.text for reason in review.reasons] + ([gap.text] if gap else [])
    return review.account, review.tier, review.action, review.to or "", "; ".join(because)


def _counts(base: BaseReview) -> Iterator[str]:
    for tier, actions in base.actions.items():
        yield f"{tier}: " + ", ".join(f"{count} {action}" for action, count in sorted(actions.items()))


def _put_problems(problems: list[str]) -> None:
    from rich.text import Text

    from entitlements.cli.console import CliConsole

    screen = CliConsole(stderr=True)
    for problem in problems:
        screen.show(Text(problem, "red"))
