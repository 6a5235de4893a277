"""
Loads policies from YAML files or a Python mapping into an immutable `Policy`.

All problems of all files are reported at once, as `file:line: path: problem; cure`. Begin with
`builder.py`: `yaml/` reads the files into a tree, `validation` turns the tree into schema models,
`sections/` turns these into values of `model`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from entitlements.model.immutable import FILES, immutable
from entitlements.model.policy import PolicyData
from entitlements.policy.builder import build
from entitlements.policy.report import Report
from entitlements.policy.yaml.files import read_files
from entitlements.policy.yaml.mappings import read_mapping


@immutable(FILES)
@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Policy(PolicyData):
    """A policy loaded from files or from a mapping; its `warnings` are problems that do not prevent its use."""

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Policy:
        """
        Return the policy in a file, or in all `*.yaml` and `*.yml` files of a folder.

        Raises:
            PolicyError: With all problems of all files.
            TypeError: If *path* is not a path.
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
        Return the policy in *mapping*, which has the form of a file.

        Args:
            mapping: dicts, lists and scalars. An int, Decimal, timedelta, `UNLIMITED` or
                `NOT_INCLUDED` may replace its written form.

        Raises:
            PolicyError: With all problems; their file is `<mapping>`.
        """
        report = Report()
        return build(cls, read_mapping(mapping, report), report)


__all__ = ["Policy"]
