"""How large a policy may be: far more than any real one needs, and little enough to be read in seconds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from entitlements.errors import PolicyError
from entitlements.policy.errors import Misread
from entitlements.policy.yaml.tree import MAX_NODES

if TYPE_CHECKING:
    from collections.abc import Iterable

    from entitlements.policy.parts import Part
    from entitlements.policy.report import Report
    from entitlements.policy.schema_models import Document

MAX_FILES: Final = 1000
"""Most files of a folder."""

MAX_BYTES: Final = 1 << 20
"""Largest file."""

MAX_ALL_BYTES: Final = 4 << 20
"""Largest size of all files together."""

MAX_EXTENDS: Final = 64
"""Most tiers that one extends, each through the one before."""

MAX_CELLS: Final = 250_000
"""Largest table of tiers and names: each of them is filled in for each tier."""


@dataclass(slots=True)
class Budget:
    """What the files of one policy may still hold together."""

    bytes: int = MAX_ALL_BYTES
    nodes: int = MAX_NODES

    @property
    def spent(self) -> bool:
        """Whether they hold too much: what follows is not read any more."""
        return self.bytes < 0 or self.nodes < 0

    def take_bytes(self, many: int) -> None:
        """Count a file's bytes; too many are a `Misread`."""
        self.bytes -= many
        if self.bytes < 0:
            raise Misread(
                f"the files up to this one are larger than {MAX_ALL_BYTES >> 20} MiB together",
                "look for files that do not belong here",
            )

    def take_node(self) -> None:
        """Count a node; one too many is a `Misread`."""
        self.nodes -= 1
        if self.nodes < 0:
            raise Misread(
                f"the policy has more than {MAX_NODES} keys and values, all files together", "look for what repeats"
            )


def check_size(document: Document, names: int, parts: Iterable[Part], report: Report) -> None:
    """
    Check that a table of all tiers and all *names* of features and limits, with all values, is of bearable size.

    Raises:
        PolicyError: Where it is not: what is so large is looked at no further.
    """
    levels = sum(len(levels) for levels in document.levels.values())
    values = len({key for part in parts for key in part.paths})
    rows, columns = len(document.tiers), names + levels + values
    if rows * columns > MAX_CELLS:
        what = (
            f"{rows} tiers with {columns} names, levels and values are {rows * columns} to fill in, at most {MAX_CELLS}"
        )
        report.error(
            ("tiers",), Misread(what, "define fewer tiers; what differs by account is an override or an add-on")
        )
        raise PolicyError(report.problems)
