"""The commands of `entitlements base`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from entitlements.cli.base.abandoned import abandoned
from entitlements.cli.base.churn import churn
from entitlements.cli.base.compare import compare
from entitlements.cli.base.kpis import kpis
from entitlements.cli.base.money import money
from entitlements.cli.base.questions import questions
from entitlements.cli.base.renewals import renewals
from entitlements.cli.groups import command_group

if TYPE_CHECKING:
    from entitlements.cli.examples import Epilog


def base_commands(*, epilog: Epilog) -> typer.Typer:
    """Return the group of the commands."""
    commands = {each.__name__: each for each in (renewals, churn, money, questions, compare, kpis, abandoned)}
    about = "Reports on all accounts: renewals, churn, money, questions, comparisons, KPIs, abandonment."
    return command_group("base", about, commands, epilog, no_args_is_help=True, rich_markup_mode=None)
