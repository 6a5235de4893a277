"""A command on the customer tiers and the example accounts."""

from pathlib import Path

import pytest

from entitlements.cli import main

ROOT = Path(__file__).resolve().parents[2]
POLICY = str(ROOT / "policies" / "customer-tiers")
ACCOUNTS = str(ROOT / "examples" / "accounts.csv")


@pytest.fixture
def run_command(capsys, monkeypatch, tmp_path):
    """Return a function that runs a command on the customer tiers and the example accounts."""
    monkeypatch.chdir(tmp_path)
    for name in ("ENTITLEMENTS_STORE", "NO_COLOR", "FORCE_COLOR", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("ENTITLEMENTS_POLICY", POLICY)
    monkeypatch.setenv("ENTITLEMENTS_ACCOUNTS", ACCOUNTS)

    def run(*argv):
        code = main(argv)
        return code, *capsys.readouterr()

    return run
