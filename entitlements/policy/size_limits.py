"""Limits on the size of a policy: far above any real policy, and small enough to load in seconds."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from entitlements.errors import PolicyError
from entitlements.policy.errors import InvalidValue
from entitlements.policy.parts import TierPart
from entitlements.policy.vocabulary import BuildContext
from entitlements.policy.yaml.tree import MAX_NODES

MAX_FILES: Final = 1000
"""Most files of a folder."""

MAX_BYTES: Final = 1 << 20
"""Largest file."""

MAX_ALL_BYTES: Final = 4 << 20
"""Largest total size of all files."""

MAX_EXTENDS: Final = 64
"""Longest chain of tiers that extend each other."""

MAX_CELLS: Final = 250_000
"""Largest table of tiers and names; every name has a value in every tier."""


@dataclass(slots=True)
class Budget:
    """Bytes and nodes that the remaining files of one policy may have together."""

    bytes: int = MAX_ALL_BYTES
    nodes: int = MAX_NODES

    @property
    def exhausted(self) -> bool:
        """True if the files are too large; no further file is read."""
        return self.bytes < 0 or self.nodes < 0

    def take_bytes(self, count: int) -> None:
        """Subtract the bytes of a file; raise `InvalidValue` if too few are left."""
        self.bytes -= count
        if self.bytes < 0:
            cure = "look for files that do not belong here"
            raise InvalidValue(f"the files up to this one are larger than {MAX_ALL_BYTES >> 20} MiB together", cure)

    def take_node(self) -> None:
        """Subtract one node; raise `InvalidValue` if none is left."""
        self.nodes -= 1
        if self.nodes < 0:
            cure = "look for what repeats"
            raise InvalidValue(f"the policy has more than {MAX_NODES} keys and values, all files together", cure)


def check_size(context: BuildContext, parts: Iterable[TierPart]) -> None:
    """
    Check the size of the table of all tiers with all features, limits, levels and values.

    Raises:
        PolicyError: If it is above `MAX_CELLS`; nothing else is checked then.
    """
    document = context.document
    levels = sum(len(levels) for levels in document.levels.values())
    values = len({key for part in parts for key in part.paths})
    rows, columns = len(document.tiers), len(context.vocabulary.kinds) + levels + values
    if rows * columns > MAX_CELLS:
        problem = (
            f"{rows} tiers with {columns} names, levels and values are {rows * columns} to fill in, at most {MAX_CELLS}"
        )
        cure = "define fewer tiers; what differs by account is an override or an add-on"
        context.report.error(("tiers",), problem, cure)
        raise PolicyError(context.report.problems)
