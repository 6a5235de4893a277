"""The package's face: light to import, complete, and typed."""

from __future__ import annotations

import subprocess
import sys

import pytest

import entitlements


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
