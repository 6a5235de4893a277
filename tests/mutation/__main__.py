"""
Run mutants of the rules, the resilience layer and the Lua scripts, and say which ones no test kills.

    python tests/mutation [rules|resilience|lua ...] [--sample 150] [--seed 1] [--jobs 2] [--only TEXT]

Each mutant runs in a forked child, with the libraries loaded. A mutant is killed if a test fails, or takes much
longer than without it. Survivors are compared with `survivors.txt`, where each has a judgement.
"""

from __future__ import annotations

import argparse
import importlib
import os
import random
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from importlib.abc import Loader, MetaPathFinder
from importlib.util import spec_from_loader
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "entitlements"
LOGS = Path(tempfile.mkdtemp(prefix="mutants-"))
SURVIVORS = Path(__file__).with_name("survivors.txt")
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "helpers"), str(Path(__file__).parent)]

from mutate import Mutant, lua_mutants, python_mutants  # noqa: E402 - found by the path above

LIBRARIES = (
    "anyio", "cachetools", "hypothesis", "httpx", "limits", "pydantic", "pytest", "pytest_asyncio.plugin", "redis.asyncio",
    "redis.cluster", "ruamel.yaml", "schemathesis.pytest.plugin", "typer", "xdist.plugin",
)  # fmt: skip
"""Loaded once; the package itself is loaded by each child, changed."""
LEAST_PATIENCE = 20.0
"""Seconds after which a mutant counts as killed, or three times what the tests take without it."""


@dataclass(frozen=True)
class Target:
    """
    A part of the package, and the tests that have to notice a change in it.

    Args:
        files: Patterns below the package.
        tests: Paths below `tests/`, by the beginning of a file's name; the longest beginning counts.
    """

    files: tuple[str, ...]
    tests: dict[str, tuple[str, ...]]


_ENFORCER = ("rules", "enforcer/test_enforcer.py", "enforcer/test_usage.py", "stores/test_memory.py")
_ROUTES = ("http/test_path_forms.py", "http/test_routes.py", "http/test_refusals.py")
_OUTAGES = tuple(
    f"stores/test_{name}.py"
    for name in (
        "outage_policy",
        "circuit_breaker",
        "outage",
        "outage_refunds",
        "replay",
        "replay_order",
        "event_loops",
    )
)
TARGETS = {
    "rules": Target(
        ("rules/*.py",),
        {
            "": _ENFORCER, "path_forms": _ROUTES, "route_matching": _ROUTES, "templates": _ROUTES,
            "fallbacks": (*_OUTAGES, "rules"), "decisions": (*_ENFORCER, *_OUTAGES), "explain": (*_ENFORCER, "tiering"), "tiers": (*_ENFORCER, "tiering", "policy"),
        },
    ),
    "resilience": Target(("stores/resilience/*.py",), {"": _OUTAGES}),
    "lua": Target(("stores/redis/lua/*.lua",), {}),
}  # fmt: skip


# --- Mutants ------------------------------------------------------------------------------------------------------


def mutants_of(target: Target) -> list[Mutant]:
    """Return every mutant of a target."""
    found = []
    for pattern in target.files:
        for path in sorted(PACKAGE.glob(pattern)):
            make = lua_mutants if path.suffix == ".lua" else python_mutants
            found += make(path.relative_to(PACKAGE).as_posix(), path.read_text(encoding="utf-8"))
    return found


class Changed(MetaPathFinder, Loader):
    """Finds one module of the package, with the source of a mutant."""

    def __init__(self, mutant: Mutant):
        self._name = "entitlements." + mutant.file.removesuffix(".py").replace("/", ".")
        self._mutant = mutant

    def find_spec(self, name, path, target=None):
        return spec_from_loader(name, self, origin=str(PACKAGE / self._mutant.file)) if name == self._name else None

    def exec_module(self, module):
        exec(compile(self._mutant.source, self._mutant.file, "exec"), module.__dict__)  # noqa: S102 - the mutant


def tests_for(target: Target, mutants: list[Mutant]) -> list[str]:
    """Return the tests that have to notice these mutants."""
    found = {}
    for stem in {Path(mutant.file).stem for mutant in mutants}:
        names = max((name for name in target.tests if stem.startswith(name)), key=len)
        found |= dict.fromkeys(target.tests[names])
    return [str(ROOT / "tests" / path) for path in found]


# --- Children -----------------------------------------------------------------------------------------------------


def run_tests(tests: list[str], mutant: Mutant | None) -> int:
    """Run tests in this process, on a mutant; return 0 if they pass."""
    import pytest

    if mutant:
        sys.meta_path.insert(0, Changed(mutant))
    sys.dont_write_bytecode = True
    options = [
        "-x",
        "-q",
        "-n0",
        "--quick",
        "--no-header",
        "-p",
        "no:cacheprovider",
        "--assert=plain",
        "--rootdir",
        str(ROOT),
        "-m",
        "not slow",
    ]
    return int(pytest.main([*options, *tests]))


def run_scripts(port: int, mutant: Mutant | None) -> int:
    """Compare the scripts of a mutant with the rules, on the server of this port; return 0 if they agree."""
    import redis
    from hypothesis import settings

    settings.register_profile("mutants", deadline=None)
    settings.load_profile("mutants")
    spec = importlib.util.spec_from_file_location("equality", ROOT / "tests" / "stores" / "test_redis_equality.py")
    equality = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(equality)
    from entitlements.stores.redis.scripts import make_script

    before = (PACKAGE / mutant.file).read_text(encoding="utf-8") if mutant else ""

    def planted(script):
        return make_script(
            script.name, script.text.decode().replace(before, mutant.source) if mutant else script.text.decode()
        )

    client = redis.Redis(port=port, socket_timeout=5)
    client.flushall()
    try:
        return int(bool(equality.found_by_a_story(client, planted) or equality.found_by_chance(client, planted, 300)))
    except Exception as error:  # noqa: BLE001 - whatever a changed script does wrong, it was noticed
        print(repr(error))
        with suppress(redis.RedisError):
            client.script_kill()
        return 1


def fork(work, log: Path) -> int:
    """Run *work* in a child and return its process id; what it prints goes to a file."""
    child = os.fork()
    if child:
        return child
    os.setsid()
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(output, 1)
    os.dup2(output, 2)
    code = 70
    try:
        code = work()
    except BaseException:  # noqa: BLE001 - the child ends here
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        os._exit(code)


def run_all(mutants: list[Mutant], work, jobs: int, patience: float) -> dict[Mutant, str]:
    """Run every mutant, so many at a time; return `killed`, `slow` (killed by time) or `survived` of each."""
    waiting, running, found = list(reversed(mutants)), {}, {}
    slots = list(range(jobs))
    while waiting or running:
        while waiting and slots:
            mutant, slot = waiting.pop(), slots.pop()
            child = fork(lambda mutant=mutant, slot=slot: work(mutant, slot), LOGS / f"{slot}.log")
            running[child] = mutant, slot, time.monotonic()
        time.sleep(0.02)
        for child, (mutant, slot, began) in tuple(running.items()):
            done, status = os.waitpid(child, os.WNOHANG)
            late = time.monotonic() - began > patience
            if not done and not late:
                continue
            if late and not done:
                os.killpg(child, signal.SIGKILL)
                os.waitpid(child, 0)
            found[mutant] = "slow" if not done else "survived" if status == 0 else "killed"
            del running[child]
            slots.append(slot)
            print(f"{len(found):4} of {len(mutants)}  {found[mutant]:8}  {mutant.name}", flush=True)
    return found


# --- Survivors ----------------------------------------------------------------------------------------------------


def judgements() -> dict[str, str]:
    """Return the judgement of each known survivor, by the name of the mutant."""
    lines = SURVIVORS.read_text(encoding="utf-8").splitlines() if SURVIVORS.exists() else []
    entries = [line.rpartition(" | ") for line in lines if line and not line.startswith("#")]
    return {name: judgement for name, _, judgement in entries}


def run(name: str, options: argparse.Namespace) -> list[Mutant]:
    """Run the mutants of a target; return the survivors that nobody has judged."""
    target, known = TARGETS[name], judgements()
    mutants = [each for each in mutants_of(target) if options.only in each.name]
    every = len(mutants)
    if options.sample < every:
        mutants = sorted(
            random.Random(options.seed).sample(mutants, options.sample), key=lambda each: (each.file, each.line)
        )
    with servers(options.jobs if name == "lua" else 0) as ports:
        began = time.monotonic()

        def work(mutant, slot, those=()):
            return (
                run_scripts(ports[slot], mutant) if ports else run_tests(tests_for(target, those or [mutant]), mutant)
            )

        log = LOGS / "baseline.log"
        _, status = os.waitpid(fork(lambda: work(None, 0, mutants), log), 0)
        if status:
            raise SystemExit(f"{name}: the tests fail without a mutant: {log.read_text(errors='replace')[-2000:]}")
        patience = max(LEAST_PATIENCE, 3 * (time.monotonic() - began))
        found = run_all(mutants, work, options.jobs, patience)
    outcomes = Counter(found.values())
    killed = outcomes["killed"] + outcomes["slow"]
    survivors = [mutant for mutant, outcome in found.items() if outcome == "survived"]
    judged = [each for each in survivors if each.name in known]
    print(f"{name}: {killed} of {len(found)} mutants killed ({100 * killed // max(1, len(found))} %), of {every} there are;"
          f" {len(judged)} survivors are judged, {len(survivors) - len(judged)} are not")  # fmt: skip
    return [each for each in survivors if each.name not in known]


class servers:  # noqa: N801 - it reads as a function in a `with`
    """Servers for the scripts, one for each child at a time; ports are their value."""

    def __init__(self, many: int):
        self._many, self._rack = many, None

    def __enter__(self):
        if not self._many:
            return []
        from servers import Rack

        self._rack = Rack()
        return [self._rack.start("valkey-9").port for _ in range(self._many)]

    def __exit__(self, *_):
        if self._rack:
            self._rack.close()


def main() -> int:
    """Run the mutants that the command line names; return 1 if a survivor has no judgement."""
    parser = argparse.ArgumentParser(prog="python tests/mutation", description=__doc__.split("\n\n")[0].strip())
    parser.add_argument("targets", nargs="*", choices=[*TARGETS, []], help="all by default")
    parser.add_argument("--sample", type=int, default=150, help="mutants of each target, drawn at random")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=2, help="children at a time")
    parser.add_argument("--only", default="", help="mutants whose name contains this")
    options = parser.parse_args()
    for name in LIBRARIES:
        importlib.import_module(name)
    left = [mutant for name in options.targets or TARGETS for mutant in run(name, options)]
    for mutant in left:
        print(f"no judgement: {mutant.name} | line {mutant.line}")
    return int(bool(left))


if __name__ == "__main__":
    raise SystemExit(main())
