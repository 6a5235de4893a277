"""Writer of an export with its tiers; every other column stays the same, byte for byte."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from decimal import Decimal

from entitlements.crm.assignment import Assigned, Progress, RowResult, no_progress
from entitlements.crm.columns import REASON, TIER
from entitlements.crm.layout import BYTES, Record
from entitlements.model.policy import PolicyData


@dataclass(frozen=True, slots=True)
class WriteOptions:
    """
    Options of `write`.

    Args:
        tier: The heading of the tier.
        reason: The heading of the reason.
        labels: Write the tiers' display names instead of their ids.
        explain: Write the reason of each row behind its tier.
        sort: Sort the rows by tier, higher tiers first, then by value, larger values first; blank rows come last.
    """

    tier: str = TIER
    reason: str = REASON
    labels: bool = False
    explain: bool = False
    sort: bool = False


def write(
    policy: PolicyData, assigned: Assigned, options: WriteOptions, progress: Progress = no_progress
) -> Iterator[bytes]:
    """
    Yield the bytes of the file, piece by piece.

    A blank row, and a row with a tier that the policy does not have, stays as it is. A row
    that lacks cells gets empty ones before the tier. A row with cells without a heading
    gets an empty tier before them.

    Raises:
        AccountError: For a name that the file's encoding cannot represent.
    """
    layout = assigned.layout
    writer = _RowWriter(policy, assigned, options)
    yield layout.bom + layout.above.encode(BYTES)
    heading = writer.heading()
    last = layout.headings if not layout.body else None
    yield (heading if last is not None else layout.with_line_end(heading)).encode(BYTES)
    rows = ((record, writer.row(record)) for record in progress(layout.records(), layout.lines, "writing"))
    for raw in writer.sorted(rows) if options.sort else (raw for _, raw in rows):
        yield raw.encode(BYTES)


class _RowWriter:
    def __init__(self, policy: PolicyData, assigned: Assigned, options: WriteOptions) -> None:
        self._policy = policy
        self._assigned = assigned
        self._options = options
        self._layout = assigned.layout
        self._columns = assigned.columns
        ranked = sorted(policy.tiers, key=lambda id: -policy.tiers[id].rank)
        self._order: dict[str | None, int] = {tier: at for at, tier in enumerate(ranked)}

    def heading(self) -> str:
        """Return the row of headings, with the new ones."""
        new = {self._columns.tier: self._options.tier}
        if self._options.explain:
            new[self._columns.reason] = self._options.reason
        added = {at: text for at, text in new.items() if at >= self._columns.width}
        return self._layout.with_cells(self._layout.headings, added)

    def row(self, record: Record) -> str:
        """Return the bytes of one row."""
        if record.is_blank:
            return record.raw
        result = self._assigned.results[record.line]
        changes = {} if result.kept else {self._columns.tier: self._tier(result)}
        if self._options.explain:
            changes[self._columns.reason] = result.reason
        if result.displaced:
            return self._displaced(record, changes)
        cells = record.cells
        differ = {at: text for at, text in changes.items() if at >= len(cells) or self._layout.text(cells[at]) != text}
        return self._layout.with_cells(record, differ)

    def sorted(self, rows: Iterable[tuple[Record, str]]) -> Iterator[str]:
        """Yield the rows sorted; each ends with a line end."""
        keyed = sorted((self._key(record), raw) for record, raw in rows)
        for _, raw in keyed:
            yield self._layout.with_line_end(raw)

    def _key(self, record: Record) -> tuple[int, Decimal, int]:
        if record.is_blank:
            return len(self._order) + 1, Decimal(0), record.line
        result = self._assigned.results[record.line]
        value = result.segmented.value
        number = Decimal(value) if isinstance(value, int | Decimal) and not isinstance(value, bool) else Decimal(-1)
        return self._order.get(result.tier, len(self._order)), -number, record.line

    def _tier(self, result: RowResult) -> str:
        if result.tier is None or result.displaced:
            return ""
        return self._policy.tiers[result.tier].name if self._options.labels else result.tier

    def _displaced(self, record: Record, changes: dict[int, str]) -> str:
        """Return a row with the new cells inserted before those without a heading."""
        new = [changes[at] for at in sorted(changes) if at >= self._columns.width]
        return self._layout.with_insert(record, self._columns.width, new)
