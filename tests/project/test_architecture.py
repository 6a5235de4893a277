"""docs/architecture.md and its neighbours show the rooms, the public modules and the path of a charge as they are."""

from __future__ import annotations

import asyncio
import importlib
import re
import sys
import tomllib
from importlib.util import find_spec
from pathlib import Path

import django_site  # noqa: F401 - the REST framework can be imported only in a project
import pytest

from entitlements import AsyncEnforcer, Enforcer, Policy

ROOT = Path(__file__).resolve().parents[2]
PAGE = "\n".join(
    (ROOT / "docs" / page).read_text(encoding="utf-8")
    for page in ("architecture.md", "public-modules.md", "glossary.md", "walks.md")
)
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def section(heading: str) -> str:
    """Return the part of the page below a heading, up to the next one."""
    return re.split(r"^#{2,3} ", PAGE.partition(f"\n{heading}\n")[2], maxsplit=1, flags=re.MULTILINE)[0]


# -- rooms and modules ---------------------------------------------------------------------------------------------


def test_the_map_has_the_floors_that_the_linter_checks():
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]
    floors = [re.findall(r"\w+", layer) for layer in contracts["contracts"][0]["layers"]]

    assert floors == [re.findall(r"\w+", line.partition("   ")[0]) for line in FENCE.search(PAGE)[2].splitlines()]


PUBLIC = set(re.findall(r"^\| `(entitlements[\w.]*)` \|", section("## Public modules"), re.MULTILINE))


def test_every_public_module_can_be_imported():
    assert len(PUBLIC) > 20
    for name in PUBLIC:
        importlib.import_module(name)


def modules_of(source: str) -> set[str]:
    """Return the modules of the package that a text imports from; `from a import b` may import the module `a.b`."""
    imports = re.findall(r"^\s*from (entitlements[\w.]*) import (\w+)", source, re.MULTILINE)
    return {f"{module}.{name}" if module == "entitlements.model" else module for module, name in imports}


def test_every_module_that_pages_and_examples_import_is_public():
    pages = [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *(ROOT / "policies").glob("*.md")]
    sources = [block[2] for page in pages for block in FENCE.finditer(page.read_text(encoding="utf-8"))]
    sources += [path.read_text(encoding="utf-8") for path in (ROOT / "examples").rglob("*.py")]

    assert set() == set().union(*map(modules_of, sources)) - PUBLIC


# -- the path of a charge ------------------------------------------------------------------------------------------

POLICY = Policy.parse({
    "policy": {"version": "1"},
    "limits": {"api": {"kind": "rate", "deadline": "PT5S"}},
    "tiers": {"one": {"rank": 1, "limits": {"api": "1000 per hour"}}},
})  # fmt: skip
PACKAGE = Path(find_spec("entitlements").origin).parent


class Files:
    """Within a `with`: the package's files in the order in which their functions are called."""

    def __enter__(self):
        self.called = []
        sys.setprofile(self._note)
        return self

    def __exit__(self, *_):
        sys.setprofile(None)

    def _note(self, frame, event, _):
        path = Path(frame.f_code.co_filename)
        if event == "call" and path.is_relative_to(PACKAGE):
            self.called.append(f"entitlements/{path.relative_to(PACKAGE).as_posix()}")


def sync_charge(url):
    with Enforcer(POLICY, accounts={"acme": "one"}, store=url, expected_processes=1) as enforcer:
        called = ["invalidations"]
        while any("invalidations" in file for file in called):  # in 50 ms of a busy machine it polls again
            enforcer.reset("acme", "api")
            for _ in range(2):
                enforcer.consume("acme", "api")
            with Files() as files:
                decision = enforcer.consume("acme", "api")
            called = files.called
    return decision, called


def async_charge(url):
    async def charge():
        async with AsyncEnforcer(POLICY, accounts={"acme": "one"}, store=url, expected_processes=1) as enforcer:
            for _ in range(2):
                await enforcer.consume("acme", "api")
            with Files() as files:
                decision = await enforcer.consume("acme", "api")
        return decision, files.called

    return asyncio.run(charge())


@pytest.mark.parametrize(("heading", "charge"), [("### Sync", sync_charge), ("### Async", async_charge)])
def test_a_walk_names_the_files_of_a_charge_in_their_order(valkey, heading, charge):
    steps = re.findall(r"^\d+\. (.*)$", section(heading), re.MULTILINE)
    named = [re.findall(r"`(entitlements/[\w/]+\.py)`", step) for step in steps]
    begins = [files[0] for files in named if files]

    decision, called = charge(valkey.url)

    assert ("store", 3) == (decision.via, decision.used)
    assert set(called) == {file for files in named for file in files}
    entered = iter(called)
    assert [] == [file for file in begins if file not in entered]
