"""
Trials of Python mutants: a pytest session that has collected the tests forks a child for each mutant.

A child swaps the code of the changed functions and runs the tests that reach the changed line. A change outside the body of a function is a value or a default, which it swaps too.
"""

from __future__ import annotations

import gc
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from types import CodeType, FunctionType, ModuleType

import pytest
from children import run_each
from hypothesis import Phase, settings
from mutate import Mutant
from reach import Reach

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "entitlements"
BUDGET = 10.0
"""Seconds of CPU that the tests of one mutant take, of those that do not fail."""
LEAST_SECONDS = 8.0
"""Seconds of CPU after which a mutant counts as killed, or four times what its tests take without it."""
OPTIONS = ["-q", "-n0", "-s", "--quick", "--no-header", "-p", "no:cacheprovider", "--assert=plain",
           "-o", "timeout=0", "--rootdir", str(ROOT), "-m", "not slow", "--keep-duplicates"]  # fmt: skip
"""Files that a run without servers leaves out are named beside their folder, which would hide them as duplicates."""


def load_profile() -> None:
    """Let properties try the same examples each time, and report a failure without making it smaller."""
    settings.register_profile("mutants", deadline=None, max_examples=60, derandomize=True, database=None, phases=[Phase.explicit, Phase.generate])  # fmt: skip
    settings.load_profile("mutants")


# --- Changed code -------------------------------------------------------------------------------------------------


def functions() -> dict[str, list[FunctionType]]:
    """Return the functions of the package that there are, by the file of their code."""
    found = defaultdict(list)
    gc.unfreeze()  # what is frozen is not listed
    for each in gc.get_objects():
        if type(each) is FunctionType and each.__code__.co_filename.startswith(str(PACKAGE)):
            found[each.__code__.co_filename].append(each)
    return found


def swap(mutant: Mutant, known: list[FunctionType]) -> bool:
    """Give every function of the module its changed code; return whether one has changed."""
    path = str(PACKAGE / mutant.file)
    if mutant.is_at_import:
        return swap_values(mutant, path)
    codes, has_changed = dict(_codes(mutant.code(path))), False
    for each in known:
        new = codes.get(_key(each.__code__))
        if new and new != each.__code__:
            each.__code__ = new
            has_changed = True
    return has_changed


def swap_values(mutant: Mutant, path: str) -> bool:
    """Give every module that has a value of the changed one, and every default, the changed value."""
    name = "entitlements." + mutant.file.removesuffix(".py").replace("/", ".")
    module = sys.modules[name]
    scratch = sys.modules[name] = ModuleType(name)
    try:
        exec(mutant.code(path), scratch.__dict__)  # noqa: S102 - the mutant
    finally:
        sys.modules[name] = module
    has_changed = False
    ours = [each for each in sys.modules.values() if _is_ours(getattr(each, "__file__", None))]
    for key, new in vars(scratch).items():
        old = vars(module).get(key)
        if isinstance(new, type):
            pairs = [
                (getattr(old, each, None), getattr(new, each, None)) for each in ("__init__", "__new__", *vars(new))
            ]
        elif isinstance(new, FunctionType):
            pairs = [(old, new)]
        else:
            pairs = []
            if isinstance(new, int | tuple | dict) and not key.startswith("__") and old != new:
                for each in ours:
                    if vars(each).get(key) == old:
                        setattr(each, key, new)
                        has_changed = True
        for before, after in pairs:
            if (
                isinstance(before, FunctionType)
                and isinstance(after, FunctionType)
                and after.__module__ in (name, f"namedtuple_{key}")
            ):
                for what in ("__defaults__", "__kwdefaults__", "__code__"):  # a dataclass generates code
                    if getattr(before, what) != getattr(after, what):
                        setattr(before, what, getattr(after, what))
                        has_changed = True
    return has_changed


def _is_ours(path: str | None) -> bool:
    return path is not None and path.startswith((str(PACKAGE), str(ROOT / "tests")))


def _codes(code: CodeType) -> Iterator[tuple[tuple[str, int], CodeType]]:
    for each in code.co_consts:
        if isinstance(each, CodeType):
            yield _key(each), each
            yield from _codes(each)


def _key(code: CodeType) -> tuple[str, int]:
    return code.co_qualname, code.co_firstlineno


# --- The session --------------------------------------------------------------------------------------------------


class Trials:
    """
    The plugin that runs mutants in place of tests.

    Args:
        mutants: What to try.
        folder: For the answers of children.
        jobs: Children at a time.
        report: Called with each mutant and the test that killed it; None if it survived.
    """

    def __init__(self, mutants: list[Mutant], folder: Path, jobs: int, report):
        self._mutants, self._folder, self._jobs, self._report = mutants, folder, jobs, report
        self._kills: dict[tuple[str, str], dict[str, int]] = defaultdict(lambda: defaultdict(int))

    @pytest.hookimpl(trylast=True)
    def pytest_configure(self, config):
        load_profile()

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items):
        items[:] = {item.nodeid: item for item in items}.values()

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session):
        files = sorted({PACKAGE / mutant.file for mutant in self._mutants})
        every = [*PACKAGE.glob("rules/*.py"), *PACKAGE.glob("stores/resilience/*.py")]
        reach = Reach(every, ROOT / ".mutants" / "reach.json")
        reach.measure(session.items, self._folder)
        items = {item.nodeid: item for item in session.items}
        tests = {path: defaultdict(list) for path in map(str, files)}
        for name, lines in reach.lines.items():
            for path in tests.keys() & lines.keys():
                for line in lines[path]:
                    tests[path][line].append(name)

        known = functions()

        def trials():
            for mutant in self._mutants:
                path = str(PACKAGE / mutant.file)
                reaching = {name for line in mutant.lines for name in tests[path][line]}
                importing = {name for names in tests[path].values() for name in names} if mutant.is_at_import else set()
                chosen = [items[name] for name in self._order(mutant, reaching, importing, reach) if name in items]
                seconds = sum(reach.seconds[item.nodeid] for item in chosen)
                yield mutant, lambda _, mutant=mutant, chosen=chosen, path=path: self._try(session, mutant, chosen, known[path]), max(LEAST_SECONDS, 4 * seconds)  # fmt: skip

        for mutant, answer in run_each(trials(), self._jobs, self._folder):
            outcome, _, test = answer.partition("\n")
            if outcome == "killed":
                self._kills[mutant.file, mutant.place][test] += 1
            self._report(mutant, outcome == "survived", test or outcome)
        return True

    def _order(self, mutant, reaching, importing, reach):
        """
        Return the tests to run, within the budget of a mutant.

        First those that killed neighbours; then, of the tests that run the same lines of this module, one each, the
        one that reaches the fewest modules, and so on. Those that only import a changed value come last.
        """
        path, kills, same = str(PACKAGE / mutant.file), self._kills[mutant.file, mutant.place], defaultdict(int)
        ranks = {}
        for name in sorted(reaching | importing, key=lambda name: (len(reach.lines[name]), reach.seconds[name])):
            lines = tuple(reach.lines[name][path])
            ranks[name] = (-kills[name], name not in reaching, same[lines], len(reach.lines[name]), reach.seconds[name])
            same[lines] += 1
        total = 0.0
        for name in sorted(ranks, key=ranks.get):
            if kills[name] or total + reach.seconds[name] <= BUDGET:
                total += reach.seconds[name]
                yield name

    @staticmethod
    def _try(session, mutant, items, known):
        if not items:
            return "survived\nno test reaches it"
        if not swap(mutant, known):
            return "survived\nit is not swapped"
        session.testsfailed = 0
        for item, after in zip(items, [*items[1:], None], strict=True):
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=after)
            if session.testsfailed:
                return f"killed\n{item.nodeid}"
        return "survived"
