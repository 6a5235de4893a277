"""Inputs of every check of one build: the tree, its sections, its names and the report."""

from __future__ import annotations

from dataclasses import dataclass

from entitlements.policy.report import Report
from entitlements.policy.schema_models import Document
from entitlements.policy.vocabulary import Vocabulary
from entitlements.policy.yaml.tree import Branch, Path


@dataclass(frozen=True, slots=True)
class BuildContext:
    """
    One policy while it is built.

    Args:
        root: The tree of all files.
        document: The parts of the tree that fit the schema models.
        vocabulary: The names that the files define.
        report: Collects the problems.
    """

    root: Branch
    document: Document
    vocabulary: Vocabulary
    report: Report

    def check_tier(self, path: Path, name: str) -> None:
        """Report *name* at *path* unless it is the id of a tier."""
        if error := self.vocabulary.unknown_tier(name):
            self.report.add(path, error)
