"""The package's face: light to import, complete, and typed."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

import entitlements
from entitlements import extras
from entitlements.extras import extra

ROOT = Path(__file__).resolve().parents[2]


def test_importing_the_package_imports_no_third_party_module():
    """`import entitlements` loads itself and the standard library's import machinery, nothing else."""
    script = (
        "import sys; before = set(sys.modules); import entitlements;"
        "print(*sorted({name.partition('.')[0] for name in set(sys.modules) - before}))"
    )

    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()

    assert "entitlements" in loaded
    assert [] == [name for name in loaded if name != "entitlements" and name not in sys.stdlib_module_names]


def test_the_part_for_fastapi_says_what_to_install():
    """Without FastAPI its import names the extra."""
    script = "import sys; sys.modules['fastapi'] = None; import entitlements.http.fastapi"

    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)

    assert 1 == done.returncode
    assert "entitlements.http.fastapi needs FastAPI" in done.stderr.splitlines()[-1]
    assert "pip install 'entitlements[fastapi]'" in done.stderr.splitlines()[-1]


OPTIONAL = {"celery", "click", "django", "duckdb", "fastapi", "flask", "grpc", "icalendar", "jinja2", "litestar", "openfeature", "opentelemetry", "prometheus_client", "rest_framework", "rich",
            "sqlalchemy", "starlette", "typer", "uvicorn"}  # fmt: skip
"""Libraries of extras."""
NEED_THEM = ("entitlements.accounts.sql", "entitlements.cli.", "entitlements.columnar", "entitlements.console", "entitlements.http.exception_handlers",
             "entitlements.http.fastapi", "entitlements.integrations.", "entitlements.ledger")  # fmt: skip
"""Modules that need one."""

IMPORT_ALL = """
import importlib, pkgutil, sys

class Missing:
    def find_spec(self, name, *_):
        if name.partition(".")[0] in OPTIONAL:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Missing())
import entitlements
for module in pkgutil.walk_packages(entitlements.__path__, "entitlements.", onerror=lambda name: None):
    if not module.name.startswith(NEED_THEM) and module.name != "entitlements.__main__":
        importlib.import_module(module.name)
"""


def test_no_module_of_the_core_imports_a_library_of_an_extra():
    script = f"OPTIONAL, NEED_THEM = {OPTIONAL!r}, {NEED_THEM!r}\n{IMPORT_ALL}"

    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)

    assert (0, "") == (done.returncode, done.stderr)


@pytest.mark.parametrize(
    ("module", "library", "line"),
    [
        ("entitlements.console", "jinja2", "console"),
        ("entitlements.integrations.celery", "celery", "celery"),
        ("entitlements.integrations.django", "django", "django"),
        ("entitlements.integrations.flask", "flask", "flask"),
        ("entitlements.integrations.grpc", "grpc", "grpc"),
        ("entitlements.integrations.litestar", "litestar", "litestar"),
        ("entitlements.integrations.openfeature", "openfeature", "openfeature"),
        ("entitlements.integrations.opentelemetry", "opentelemetry", "otel"),
        ("entitlements.integrations.prometheus", "prometheus_client", "prometheus"),
        ("entitlements.integrations.starlette", "starlette", "starlette"),
    ],
)
def test_a_library_that_is_missing_is_named_with_the_line_that_installs_it(module, library, line):
    script = f"import sys; sys.modules[{library!r}] = None; import {module}"

    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)

    assert 1 == done.returncode
    assert f"pip install 'entitlements[{line}]'" in done.stderr.splitlines()[-1]
    assert module in done.stderr.splitlines()[-1]


def test_the_command_names_its_extra_in_one_line():
    script = "import sys; sys.modules['typer'] = None; sys.argv = ['entitlements', 'tiers']; from entitlements.cli import main; sys.exit(main())"

    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)

    assert (2, "") == (done.returncode, done.stdout)
    assert "error: the command line needs typer and rich" in done.stderr
    assert done.stderr.endswith("pip install 'entitlements[cli]'\n")
    assert 1 == done.stderr.count("\n")


def test_a_version_below_the_floor_of_an_extra_is_named_with_the_floor(monkeypatch):
    monkeypatch.setattr(extras, "requires", lambda _: ["flask>=99.1; extra == 'flask'", "flask>=1.0; extra == 'all'"])

    told = r"^shop needs flask 99\.1 or newer, and \d[.\d]* is installed: pip install --upgrade"

    with pytest.raises(ImportError, match=told), extra("flask", "Flask", "shop"):
        import flask  # noqa: F401


def test_every_public_name_loads_and_is_listed():
    """`__all__` names what can be imported, sorted, and each name loads."""
    assert (
        sorted(entitlements.__all__, key=lambda name: (not name.isupper(), name[0].islower(), name))
        == entitlements.__all__
    )
    for name in entitlements.__all__:
        assert getattr(entitlements, name) is not None
        assert name in dir(entitlements)


def test_every_exception_has_one_root():
    """`except EntitlementsError` catches all of them."""
    names = [
        "AccountError", "AccountsUnavailable", "Denied", "KeyReused", "NotLoaded", "PolicyError", "ReservationExpired",
        "StoreError", "UnknownAccount", "UnknownFeature",
    ]  # fmt: skip

    assert all(issubclass(getattr(entitlements, name), entitlements.EntitlementsError) for name in names)
    assert issubclass(entitlements.KeyReused, ValueError)


def test_the_version_is_the_installed_one():
    """`__version__` is read when asked for."""
    assert entitlements.__version__.count(".") == 2


def test_a_store_is_named_by_its_url():
    """The embedded store has one URL, with or without a namespace; an unknown scheme is named with the ones there are."""
    from trade import policy

    for url in ("memory://", "memory://?namespace=shop"):
        assert "memory" in repr(entitlements.Enforcer(policy(), store=url))
    with pytest.raises(ValueError, match="'mysql' is not known; write memory:// or redis://"):
        entitlements.Enforcer(policy(), store="mysql://localhost")


def test_the_newest_heading_of_the_changelog_is_the_version_with_its_date():
    headings = re.findall(r"^## (.+)$", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)

    assert re.fullmatch(rf"{re.escape(entitlements.__version__)} - \d{{4}}-\d\d-\d\d|Unreleased.*", headings[0])
