"""
The install matrix, run by `make compat`: the quick part of the suite with the lowest declared and the newest libraries
under each interpreter that is there, and the smoke test in one environment each with libraries that pin redis-py.

Run as `python tests/smoke/compat.py UV [NAME …]`; names of rows such as `lowest-3.11` or `celery[redis]` pick some.
"""

import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PYTHONS = ("3.11", "3.12", "3.13", "3.14")
NEIGHBOURS = ("slowapi limits[redis]", "flask-limiter[redis]", "arq", "celery[redis]", "rq", "django-redis")
"""Libraries that pin redis-py. The extra of slowapi itself pins version 3, so `limits` brings the client there."""
REDIS_PY = ("5.1.0", "6.0.0", "7.0.0", "8.0.1")
STORES = ("tests/stores/test_redis_stores.py", "tests/stores/test_compliance.py")
FLOOR = re.compile(r"([\w.-]+)(\[[^]]*\])?>=([\d.]+)")


def run(*command: object) -> None:
    subprocess.run([str(word) for word in command], check=True, cwd=ROOT)


def floors() -> list[str]:
    """Return each library that the project or its tests declare, pinned to its floor; that of the tests is the higher one."""
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    project = declared["project"]
    wanted = [
        *project["dependencies"],
        *(each for extra in project["optional-dependencies"].values() for each in extra),
        *(each for each in declared["dependency-groups"]["test"] if isinstance(each, str)),
    ]
    found = {match[1]: match for each in wanted if (match := FLOOR.match(each))}
    return [f"{name}{match[2] or ''}=={match[3]}" for name, match in found.items()]


def environment(uv: str, folder: Path, version: str, *, pinned: list[str], wanted: list[str]) -> Path:
    """Make an environment with *wanted*, and return its interpreter."""
    python = folder / "venv" / "bin" / "python"
    run(uv, "venv", "--quiet", "--clear", "--python", version, folder / "venv")
    overrides = folder / "overrides.txt"
    overrides.write_text("\n".join(pinned), encoding="utf-8")
    run(uv, "pip", "install", "--quiet", "--python", python, "--override", overrides, *wanted)
    return python


def rows(uv: str) -> dict[str, tuple[str, list[str], list[str], list[str]]]:
    """Return each row: the interpreter, what is pinned, what is installed, and what is run."""
    suite = ["-m", "pytest", "--quick", "-q", "-n", "2", "-m", "not slow", "-p", "no:cacheprovider"]
    project = ["-e", ".[all]", "--group", "test"]
    found = {}
    for version in PYTHONS:
        if subprocess.run([uv, "python", "find", version], capture_output=True, check=False).returncode:
            print(f"{version}: no such interpreter here")
            continue
        found[f"lowest-{version}"] = (version, floors(), project, suite)
        found[f"newest-{version}"] = (version, [], project, suite)
    for each in REDIS_PY:
        networked = [word for word in suite if word != "--quick"]
        found[f"redis-{each}"] = ("3.11", [f"redis[hiredis]=={each}"], project, [*networked, *STORES])
    for each in NEIGHBOURS:
        found[each] = ("3.11", [], [".", *each.split()], ["-I", "tests/smoke/wheel_smoke.py"])
    return found


def passes(uv: str, version: str, pinned: list[str], wanted: list[str], command: list[str]) -> bool:
    with tempfile.TemporaryDirectory() as folder:
        try:
            run(environment(uv, Path(folder), version, pinned=pinned, wanted=wanted), *command)
        except subprocess.CalledProcessError as error:
            print(error)
            return False
    return True


if __name__ == "__main__":
    uv, *names = sys.argv[1:]
    uv = shutil.which(uv) or str(Path(uv).resolve())
    results = {name: passes(uv, *row) for name, row in rows(uv).items() if not names or name in names}
    print(*(f"{'ok    ' if passed else 'FAILED'} {name}" for name, passed in results.items()), sep="\n")
    print(f"compat: {sum(results.values())} passed, {len(results) - sum(results.values())} failed")
    sys.exit(not all(results.values()))
