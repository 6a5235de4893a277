"""A log line carries the facts that it names: every call with arguments has them in `extra=`, and no key is a record's own."""

from __future__ import annotations

import ast
import logging
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LOGGING = {f"_log.{level}" for level in ("debug", "info", "warning", "error", "exception", "critical", "log")}
OWN = {*vars(logging.makeLogRecord({})), "message", "asctime"}
"""Attributes that every record has; logging refuses them in `extra=`."""


def log_calls():
    """Yield each call of a module's logger with its place."""
    for file in sorted((ROOT / "entitlements").rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in LOGGING:
                yield f"{file.relative_to(ROOT)}:{node.lineno}", node


def test_a_log_line_with_arguments_has_its_facts_in_extra():
    bare = [
        place
        for place, call in log_calls()
        if len(call.args) > 1 and "extra" not in {each.arg for each in call.keywords}
    ]

    assert [] == bare


def test_no_fact_has_the_name_of_an_attribute_that_every_record_has():
    keys = {
        (place, key.value)
        for place, call in log_calls()
        for keyword in call.keywords
        if keyword.arg == "extra" and isinstance(keyword.value, ast.Dict)
        for key in keyword.value.keys
        if isinstance(key, ast.Constant)
    }

    assert len(keys) > 20
    assert set() == {(place, key) for place, key in keys if key in OWN}
