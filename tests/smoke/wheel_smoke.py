"""
What a user has after `pip install entitlements`: run by `make wheel` in a fresh environment.

Run as `python -I wheel_smoke.py WHEEL`, away from the source, where only the wheel and what it requires is installed,
and once more with its extra `cli`. Without a wheel, as `make compat` runs it, the first check has nothing to read.
"""

import importlib.util
import subprocess
import sys
import tempfile
import traceback
import zipfile
from collections.abc import Callable
from pathlib import Path

POLICY = """\
policy: {version: 2026-11}
features: {sso: SAML 2.0 single sign-on}
limits:
  leads: {kind: quota, period: month}
tiers:
  free: {rank: 1, limits: {leads: 2}}
  paid: {rank: 2, extends: free, features: [sso], limits: {leads: unlimited}}
"""

NEW_MODULES = """\
import sys
before = set(sys.modules)
import entitlements
print(*{name.partition(".")[0] for name in set(sys.modules) - before} - sys.stdlib_module_names)
"""


def run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command} exited with {done.returncode}:\n{done.stdout}{done.stderr}"
    return done.stdout


def the_wheel_holds_the_package_and_nothing_else() -> None:
    if len(sys.argv) < 2:
        return
    names = zipfile.ZipFile(sys.argv[1]).namelist()
    code = [name for name in names if ".dist-info/" not in name]

    assert [] == [name for name in code if not name.startswith("entitlements/")]
    assert {Path(name).suffix for name in code if not name.endswith("py.typed")} <= {
        ".css",
        ".html",
        ".js",
        ".json",
        ".lua",
        ".py",
        ".svg",
    }
    assert "entitlements/py.typed" in names
    assert {"entitlements/console/templates/layout.html", "entitlements/console/static/console.css"} <= {*names}
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in names)


def the_installed_package_is_the_one_imported() -> None:
    import entitlements

    assert entitlements.__file__ is not None
    assert Path(entitlements.__file__).is_relative_to(sys.prefix)


def importing_it_pulls_in_no_third_party_package() -> None:
    assert "entitlements\n" == run(sys.executable, "-I", "-c", NEW_MODULES)


def a_policy_answers_and_counts() -> None:
    from entitlements import Enforcer, Policy, Reason

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "policy.yaml")
        path.write_text(POLICY, encoding="utf-8")
        policy = Policy.load(path)

    with Enforcer(policy, accounts={"acme": "free", "globex": "paid"}) as enforcer:
        assert not enforcer.can("acme", "sso")
        assert enforcer.can("globex", "sso")
        assert enforcer.consume("acme", "leads", 2).allowed
        refused = enforcer.consume("acme", "leads")
        assert Reason.QUOTA_EXCEEDED is refused.reason
        assert 2 == refused.used
        assert enforcer.consume("globex", "leads", 1_000_000).allowed


def the_command_explains_itself_or_names_its_extra() -> None:
    for command in (
        [str(Path(sys.executable).with_name("entitlements"))],
        [sys.executable, "-I", "-m", "entitlements"],
    ):
        done = subprocess.run([*command, "--help"], capture_output=True, text=True, check=False)
        if importlib.util.find_spec("typer"):
            assert done.returncode == 0, done.stderr
            assert "Usage" in done.stdout
        else:
            assert done.returncode == 2, done.stdout
            assert done.stderr.endswith("pip install 'entitlements[cli]'\n"), done.stderr


CHECKS = [
    the_wheel_holds_the_package_and_nothing_else,
    the_installed_package_is_the_one_imported,
    importing_it_pulls_in_no_third_party_package,
    a_policy_answers_and_counts,
    the_command_explains_itself_or_names_its_extra,
]


def passes(check: Callable[[], None]) -> bool:
    title = check.__name__.replace("_", " ")
    try:
        check()
    except Exception:  # noqa: BLE001 - whatever went wrong is shown, and the other checks still run
        print("FAILED", title)
        traceback.print_exc(file=sys.stdout)
        return False
    print("ok", title)
    return True


if __name__ == "__main__":
    passed = sum(map(passes, CHECKS))
    print(f"wheel: {passed} passed, {len(CHECKS) - passed} failed")
    sys.exit(passed < len(CHECKS))
