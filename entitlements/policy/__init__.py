"""
Policies from files: YAML or a Python mapping in, an immutable `Policy` out.

Every problem of every file is reported at once, as `file:line: path: problem; cure`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from entitlements.model import policy as model
from entitlements.policy.builder import build
from entitlements.policy.report import Report
from entitlements.policy.yaml.files import read_files
from entitlements.policy.yaml.mappings import read_mapping


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Policy(model.Policy):
    """A policy, as loaded from files or from a mapping; `warnings` holds what is odd but usable."""

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Policy:
        """
        Return the policy that a file, or the `*.yaml` and `*.yml` files of a folder, make up.

        Raises:
            PolicyError: With every problem of every file.
            TypeError: For what is no path.
        """
        if not isinstance(path, str | bytes | os.PathLike):
            raise TypeError(
                f"path {path!r} is a {type(path).__name__}; give a file or a folder, or Policy.parse(mapping)"
            )
        report = Report()
        return build(cls, read_files(path, report), report)

    @classmethod
    def parse(cls, mapping: Mapping[str, object]) -> Policy:
        """
        Return the policy that *mapping* says, in the shape of a file.

        Args:
            mapping: dicts, lists and scalars; ints, Decimals, timedeltas, `UNLIMITED` and
                `NOT_INCLUDED` may stand where a file has their written form.

        Raises:
            PolicyError: With every problem; their file is `<mapping>`.
        """
        report = Report()
        return build(cls, read_mapping(mapping, report), report)


__all__ = ["Policy"]
