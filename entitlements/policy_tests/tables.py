"""
Reads the tables of a tests file into cases.

A table has one subject or several, one instant or several, and the answers for each name: one for all columns, or a
list with one for each. Every problem of the file is reported at once, with its line.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from entitlements.accounts.csv.cells import read_moment
from entitlements.accounts.csv.columns import COLUMNS
from entitlements.accounts.csv.rows import trial_of
from entitlements.accounts.csv.source import CsvAccounts
from entitlements.errors import EntitlementsError
from entitlements.model.account import Account, Trial
from entitlements.model.instants import to_datetime, to_instant
from entitlements.model.names import did_you_mean, nearest_or_all, shown
from entitlements.model.policy import PolicyData
from entitlements.model.problem import Problem, Severity
from entitlements.policy.errors import InvalidValue
from entitlements.policy.report import Report
from entitlements.policy.yaml.files import read_files
from entitlements.policy.yaml.tree import Branch, Items, Leaf, Location, Node, to_data
from entitlements.policy_tests.expected import read_expected

_ROOT = ("at", "accounts", "tables")
_SUBJECTS = ("tier", "tiers", "account", "accounts")
_TABLE = (*_SUBJECTS, "at", "answers", "error")
_CURE = "write tables: [{tier: pro, answers: {sso: true}}]"


_FILE_CURE = "name a file with tables: [{tier: pro, answers: {sso: true}}]"


class InvalidTables(EntitlementsError, ValueError):
    """
    A tests file that cannot be read.

    Args:
        problems: Every problem of the file.
    """

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = problems


class Subject(NamedTuple):
    """The subject of a question: its name for people, and the account at an instant."""

    text: str
    account: Account


@dataclass(frozen=True, slots=True)
class AnswerCase:
    """
    One question, and the expected answer.

    Args:
        location: Of the expected answer.
        subject: The account or tier, for people.
        account: The account to resolve.
        now: The instant, in microseconds.
        name: A feature, a `feature:level`, a limit or a value key; empty where an error is expected.
        expected: The answer as written, or the text that the error of a bad account contains.
    """

    location: Location
    subject: str
    account: Account
    now: int
    name: str
    expected: Any


def read_tables(path: str | os.PathLike[str], policy: PolicyData, now: int) -> tuple[AnswerCase, ...]:
    """
    Return the cases of a tests file, or of all files of a folder.

    Args:
        path: The file or the folder.
        policy: The policy under test.
        now: The instant of tables without `at`, in microseconds.

    Raises:
        InvalidTables: With every problem of the files.
    """
    report = Report()
    root = read_files(path, report)
    if report.failed:  # its cures are those of a policy
        raise InvalidTables(tuple(each if each.line else replace(each, cure=_FILE_CURE) for each in _errors(report)))
    report.root = root
    reader = _TablesReader(Path(os.fsdecode(path)), policy, now, report)
    cases = tuple(reader.cases(root))
    if report.failed:
        raise InvalidTables(tuple(_errors(report)))
    return cases


def _errors(report: Report) -> Iterator[Problem]:
    return (each for each in report.problems if each.severity is Severity.ERROR)


class _TablesReader:
    """Reads one file of tables; reports what is wrong in it."""

    def __init__(self, path: Path, policy: PolicyData, now: int, report: Report) -> None:
        self._folder = path if path.is_dir() else path.parent
        self._policy = policy
        self._now = now
        self._report = report
        self._accounts: Mapping[str, Account] = {}

    def cases(self, root: Branch) -> Iterator[AnswerCase]:
        self._check_keys(root, _ROOT)
        if "at" in root.nodes:
            self._now = self._instant(root.nodes["at"])
        if "accounts" in root.nodes:
            self._accounts = self._read_accounts(root.nodes["accounts"])
        tables = root.nodes.get("tables")
        if not isinstance(tables, Items) or not tables.nodes:
            where = root.location if tables is None else tables.location
            self._error(where, "there is no list of tables", _CURE)
            return
        for table in tables.nodes:
            if isinstance(table, Branch):
                yield from self._table(table)
            else:
                self._error(table.location, "a table is a mapping", "write {tier: pro, answers: {sso: true}}")

    def _table(self, table: Branch) -> Iterator[AnswerCase]:
        self._check_keys(table, _TABLE)
        at = table.nodes.get("at")
        instants = [self._now] if at is None else [self._instant(each) for each in self._several(at, "at")]
        columns = [(subject, now) for now in instants for subject in self._subjects(table, now)]
        if len(instants) > 1 and len(columns) > len(instants):
            self._error(table.location, "several subjects and several instants", "write one of the two as a list")
            return
        answers, error = table.nodes.get("answers"), table.nodes.get("error")
        if (answers is None) == (error is None):
            has = "no answers" if answers is None else "answers and an error"
            self._error(table.location, f"the table has {has}", "write answers: {sso: true}, or error: <text>")
        elif error is not None:
            text = to_data(error)
            if not isinstance(text, str) or not text.strip():
                self._error(error.location, f"{shown(text)} is no part of a message", "write error: <text>")
            yield from (AnswerCase(error.location, *subject, now, "", text) for subject, now in columns)
        elif not isinstance(answers, Branch) or not answers.nodes:
            self._error(table.location, "the table has no answers", "write answers: {sso: true}")
        else:
            for name, node in answers.nodes.items():
                yield from self._row(name, node, columns)

    def _row(self, name: str, node: Node, columns: list[tuple[Subject, int]]) -> Iterator[AnswerCase]:
        """Yield a case for each column; a list has one answer for each."""
        if not self._is_name(name):
            policy = self._policy
            cure = did_you_mean(name, (*policy.features, *policy.limits, *policy.keys)) or "write a name of the policy"
            self._error(node.location, f"the policy has no feature, limit or value {shown(name)}", cure)
            return
        is_row = isinstance(node, Items) and len(columns) != 1
        cells = node.nodes if isinstance(node, Items) and is_row else (node,) * len(columns)
        if len(cells) != len(columns):
            cure = "write one answer for each, or one for all"
            self._error(node.location, f"{len(cells)} answers for {len(columns)} columns", cure)
            return
        for cell, (subject, now) in zip(cells, columns, strict=True):
            try:
                yield AnswerCase(cell.location, *subject, now, name, read_expected(self._policy, name, to_data(cell)))
            except ValueError as error:
                told = error if isinstance(error, InvalidValue) else InvalidValue(str(error), "correct it")
                self._error(cell.location, f"answer of {name!r}: {told.problem}", told.cure)

    def _is_name(self, name: str) -> bool:
        policy = self._policy
        base, colon, level = name.partition(":")
        if colon:
            return base in policy.features and level in policy.features[base].levels
        return name in policy.features or name in policy.limits or name in policy.keys

    def _subjects(self, table: Branch, now: int) -> Iterator[Subject]:
        words = [word for word in _SUBJECTS if word in table.nodes]
        if len(words) != 1:
            self._error(table.location, f"the table has {len(words)} subjects", f"write one of {', '.join(_SUBJECTS)}")
            return
        for node in self._several(table.nodes[words[0]], words[0]):
            name = str(to_data(node))
            found = self._of_tier(name, now) if words[0].startswith("tier") else self._accounts.get(name)
            if found is not None:
                yield Subject(name, found)
                continue
            known = self._policy.ids if words[0].startswith("tier") else self._accounts
            noun = "tier of the policy" if words[0].startswith("tier") else "account of this file"
            self._error(node.location, f"{shown(name)} is no {noun}", nearest_or_all(name, known).removeprefix("; "))

    def _of_tier(self, name: str, now: int) -> Account | None:
        """Return an account of a tier; of a trial plan, one whose trial begins now."""
        tier = self._policy.tier(name)
        if tier is None or tier.trial is None:
            return None if tier is None else Account(name, tier.id)
        trial = Trial(tier.id, to_datetime(now), to_datetime(now + tier.trial.default))
        return Account(name, tier.trial.then, trial=trial)

    def _read_accounts(self, node: Node) -> dict[str, Account]:
        """Return the accounts of a CSV file, or those that are written as its columns."""
        if isinstance(node, Leaf):
            file = self._folder / str(node.value)
            try:
                return {each.id: each for each in CsvAccounts(file)}
            except (EntitlementsError, OSError) as error:
                self._error(node.location, str(error), "name a CSV file of accounts, seen from the tests file")
                return {}
        found = {}
        if not isinstance(node, Branch):
            self._error(
                node.location, "accounts is a list", "write {acme: {tier: pro}}, or name a CSV file of accounts"
            )
        for id, row in node.nodes.items() if isinstance(node, Branch) else ():
            try:
                found[id] = _account(id, row)
            except (ValueError, ExceptionGroup) as error:
                first = error.exceptions[0] if isinstance(error, ExceptionGroup) else error
                problem, _, cure = str(first).rpartition("; ")
                self._error(row.location, f"account {id!r}: {problem or cure}", cure)
        return found

    def _instant(self, node: Node) -> int:
        try:
            return to_instant(read_moment(str(to_data(node))))
        except InvalidValue as error:
            self._error(node.location, error.problem, error.cure)
            return self._now

    def _check_keys(self, branch: Branch, known: tuple[str, ...]) -> None:
        for key in branch.nodes:
            if key not in known:
                cure = did_you_mean(key, known) or f"write one of {', '.join(known)}"
                self._error(branch.keys[key], f"{shown(key)} is no key here", cure)

    def _several(self, node: Node, key: str) -> tuple[Node, ...]:
        """Return the items of a list, or the one item; an empty list is reported."""
        if isinstance(node, Items) and not node.nodes:
            self._error(node.location, f"{key} is an empty list", "name at least one, or leave the table out")
        return node.nodes if isinstance(node, Items) else (node,)

    def _error(self, location: Location, problem: str, cure: str) -> None:
        self._report.error((), problem, cure, location=location)


def _account(id: str, row: Node) -> Account:
    """Return an account from its tier, or from the columns of a CSV of accounts."""
    if isinstance(row, Leaf):
        return Account(id, str(row.value))
    if not isinstance(row, Branch):
        raise InvalidValue("a list is no account", "write its tier, or a mapping such as {tier: pro, grants: seats+5}")
    texts = {name: str(to_data(cell)) for name, cell in row.nodes.items()}
    fields: dict[str, Any] = {
        name: COLUMNS[name](text, "from the tests") for name, text in texts.items() if name in COLUMNS
    }
    if "tier" not in fields:
        raise InvalidValue("it has no tier", "write {tier: pro}")
    attributes = {name: text for name, text in texts.items() if name not in COLUMNS}
    for name in attributes:
        if meant := did_you_mean(name, COLUMNS):
            raise InvalidValue(f"{shown(name)} is no column", meant)
    return Account(id, trial=trial_of(fields), attributes=attributes, **fields)
