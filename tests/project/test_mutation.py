"""Mutants of `make mutants`: one small change each, and a judgement for each that survives."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

MUTATION = Path(__file__).resolve().parents[1] / "mutation"
PYTHON = '''
"""A text with 1 < 2."""
LEAST: int = 3

def fits(cost: int, size: int) -> bool:
    """Return whether 1 fits."""
    assert cost > 0
    if not size:
        notify(cost)
        _log.warning("%d of 1", cost + 1)
    return cost + LEAST <= size
'''
LUA = """-- 1 < 2
local function fits(cost, size)
  return cost <= size and 'a < b' ~= ''
end
"""


@pytest.fixture
def mutate(monkeypatch):
    monkeypatch.syspath_prepend(str(MUTATION))
    sys.modules.pop("mutate", None)
    import mutate

    return mutate


def test_each_mutant_differs_by_one_slip_and_can_be_compiled(mutate):
    mutants = mutate.python_mutants("a.py", PYTHON)

    assert {
        "a.py <module>: LEAST: int = 3 -> LEAST: int = 4",
        "a.py fits: if not size: -> if size:",
        "a.py fits: notify(cost) -> pass",
        "a.py fits: return cost + LEAST <= size -> return None",
        "a.py fits: return cost + LEAST <= size -> return cost + LEAST < size",
        "a.py fits: return cost + LEAST <= size -> return cost - LEAST <= size",
    } == {each.name for each in mutants}
    for each in mutants:
        each.code(each.file)


def test_a_change_outside_the_body_of_a_function_takes_effect_at_import(mutate):
    mutants = mutate.python_mutants("a.py", "LEAST = 3\ndef fits(cost=1):\n    return cost + 1\n")

    assert {"LEAST = 4", "def fits(cost=2):"} == {each.after for each in mutants if each.is_at_import}
    assert {"return cost + 2", "return cost - 1", "return None"} == {
        each.after for each in mutants if not each.is_at_import
    }


def test_comments_and_texts_of_lua_do_not_change(mutate):
    assert {
        "a.lua fits: return cost <= size and 'a < b' ~= '' -> return cost < size and 'a < b' ~= ''",
        "a.lua fits: return cost <= size and 'a < b' ~= '' -> return cost <= size or 'a < b' ~= ''",
        "a.lua fits: return cost <= size and 'a < b' ~= '' -> return cost <= size and 'a < b' == ''",
    } == {each.name for each in mutate.lua_mutants("a.lua", LUA)}


def test_every_survivor_has_a_judgement():
    lines = (MUTATION / "survivors.txt").read_text(encoding="utf-8").splitlines()
    entries = [line for line in lines if line and not line.startswith("#")]

    assert [] == [line for line in entries if " -> " not in line or not line.rpartition(" | ")[0]]
    assert all(line.rpartition(" | ")[2].startswith(("equal", "open")) for line in entries)
