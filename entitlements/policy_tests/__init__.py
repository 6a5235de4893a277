"""
Tests of a policy, as tables in YAML: an account or a tier, a name and an instant, and the expected answer.

Begin with `tables.py` (`read_tables`). `evaluation` asks the policy and compares.
"""

from __future__ import annotations

from entitlements.policy_tests.evaluation import Mismatch, evaluate
from entitlements.policy_tests.tables import AnswerCase, InvalidTables, read_tables

__all__ = ["AnswerCase", "InvalidTables", "Mismatch", "evaluate", "read_tables"]
