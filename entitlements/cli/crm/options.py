"""Options that the commands on a CRM's export share, and the file that they choose."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from entitlements.cli.exit_codes import CommandError, ExitCode
from entitlements.cli.loading import open_policy

if TYPE_CHECKING:
    from entitlements.crm import Columns, Layout
    from entitlements.model.criteria import AssignmentRules
    from entitlements.policy import Policy

ByOption = Annotated[
    str | None,
    typer.Option("--by", metavar="NAME", help="A segmentation of the policy. Default: its assignment rules."),
]
LabelsOption = Annotated[bool, typer.Option("--labels", help="Write the tiers' names instead of their ids.")]
ColumnOption = Annotated[
    list[str] | None,
    typer.Option(
        "--column",
        metavar="CRITERION=HEADING",
        help="The column of a criterion, such as annual-value=ACV or annual-value=#3; may be repeated.",
    ),
]
EncodingOption = Annotated[
    str | None, typer.Option("--encoding", metavar="NAME", help="Of the file, such as cp1250. Default: detected.")
]
SeparatorOption = Annotated[
    str | None,
    typer.Option("--separator", metavar="SIGN", help="Of the file: comma, semicolon or tab. Default: detected."),
]

DecimalCommaOption = Annotated[
    bool, typer.Option("--decimal-comma", help="Numbers have a decimal comma, and points between thousands: 50.000,00.")
]

TIER_COLUMN = "Tier"
REASON_COLUMN = "Tier Reason"
_SEPARATORS = {"comma": ",", "semicolon": ";", "tab": "\t", "\\t": "\t"}


@dataclass(frozen=True, slots=True)
class FileOptions:
    """
    The options about the format and the columns of an export.

    Args:
        column: Values of `--column`.
        encoding: Of the file; None to detect it.
        separator: Of the file, or its name; None to detect it.
        id: Heading of the accounts' ids; None to detect it.
        tier: Heading of the tier.
        reason: Heading of the reason.
        ignore: Headings of columns that a directory of accounts ignores.
    """

    column: list[str] | None
    encoding: str | None
    separator: str | None
    id: str | None = None
    tier: str = TIER_COLUMN
    reason: str = REASON_COLUMN
    ignore: list[str] | None = None

    def read(self, path: str, rules: AssignmentRules, measure: str) -> tuple[Layout, Columns]:
        """
        Return the layout of a file, and the columns with the criteria of *rules*.

        Raises:
            AccountError: For a file that is not a CSV file, or lacks a column.
            ValueError: For an option that does not fit the policy.
        """
        from entitlements.crm import choose_columns, read_layout
        from entitlements.crm.columns import expected_headings

        given = self._headings()
        try:
            data = Path(path).read_bytes()
        except (OSError, ValueError) as error:  # ValueError: a NUL in the path
            cause = getattr(error, "strerror", None) or str(error)
            message = f"{path}: the file cannot be read ({cause}); name a CSV file"
            raise CommandError(message, ExitCode.UNREADABLE) from None
        separator = self.separator and _SEPARATORS.get(self.separator, self.separator)
        wanted = expected_headings(rules)
        layout = read_layout(path, data, encoding=self.encoding, separator=separator, wanted=wanted)
        ignore = self.ignore or ()
        columns = choose_columns(
            layout, rules, measure, id=self.id, tier=self.tier, reason=self.reason, given=given, ignore=ignore
        )
        return layout, columns

    def _headings(self) -> dict[str, str]:
        """Return the heading of each criterion that `--column` names."""
        headings: dict[str, str] = {}
        for option in self.column or ():
            criterion, equals, heading = (part.strip() for part in option.partition("="))
            if not equals or not criterion or not heading:
                raise CommandError(f"--column {option!r} is not a criterion and a heading; write arr=ACV")
            headings[criterion] = heading
        return headings


def open_crm_policy(given: str | None, *, decimal_comma: bool) -> Policy:
    """Return the policy; with decimal commas, its criteria read numbers in that notation."""
    policy = open_policy(given)
    if not decimal_comma:
        return policy
    rules = assignment_rules(policy)
    criteria = {name: replace(criterion, decimal_comma=True) for name, criterion in rules.criteria.items()}
    return replace(policy, assignment=replace(rules, criteria=criteria))


def assignment_rules(policy: Policy) -> AssignmentRules:
    """Return the assignment rules of a policy that has them."""
    if policy.assignment is None:
        raise CommandError(f"policy {policy.version} has no assignment rules; write a section `assignment`")
    return policy.assignment
