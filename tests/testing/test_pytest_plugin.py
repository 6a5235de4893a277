"""The pytest plugin, in projects of users: the examples of docs/testing.md, settings, failures and the frozen clock."""

import re
from pathlib import Path

import pytest

pytest_plugins = ["pytester"]

ROOT = Path(__file__).resolve().parents[2]
POLICY = (ROOT / "policies" / "minimal.yaml").read_text(encoding="utf-8")

CONFIGURATION = """
[tool.pytest.ini_options]
entitlements_policy = "policies/policy.yaml"
entitlements_accounts = "accounts.csv"
asyncio_mode = "auto"
asyncio_default_fixture_loop_scope = "function"
"""

PAGE = (ROOT / "docs" / "testing.md").read_text(encoding="utf-8")
RECIPE = (ROOT / "docs" / "how-to" / "testing.md").read_text(encoding="utf-8")
IN_TEN_LINES, IN_ASYNC = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


@pytest.fixture
def project(pytester):
    """A user's project: a policy in a folder of its own, accounts, and the configuration of pytest."""
    pytester.mkdir("policies")
    (pytester.path / "policies" / "policy.yaml").write_text(POLICY, encoding="utf-8")
    (pytester.path / "accounts.csv").write_text("id,tier\nacme,free\nglobex,pro\n", encoding="utf-8")
    pytester.makepyprojecttoml(CONFIGURATION)
    return pytester


def test_a_test_of_a_limit_an_outage_and_time_reads_in_ten_lines(project):
    project.makepyfile(IN_TEN_LINES)

    project.runpytest("-p", "no:cacheprovider").assert_outcomes(passed=1)

    assert len(IN_TEN_LINES.strip().splitlines()) <= 10


def test_the_recipe_for_users_passes_as_it_stands(project):
    limits, route, _ = re.findall(r"^```python\n(.*?)^```$", RECIPE, re.MULTILINE | re.DOTALL)
    project.makepyfile(limits + route)

    project.runpytest("-p", "no:cacheprovider", "-W", "ignore:Using `httpx`").assert_outcomes(passed=4)


def test_a_wrong_expectation_shows_what_differs_and_the_line_of_the_test(project):
    project.makepyfile(
        """
        def test_leads(enforcer, assert_denied):
            enforcer.set_usage("acme", "leads", 100)
            assert_denied(enforcer.consume("acme", "leads"), "rate-limited", remedy="free", used=99)
        """
    )

    output = project.runpytest("-p", "no:cacheprovider").stdout.str()

    first, *shown = [re.sub(r"^E +", "", line) for line in output.splitlines() if line.startswith("E ")]
    assert first.startswith(
        "AssertionError: the decision is not the expected refusal (- expected, + decided): account 'acme'"
    )
    assert shown == [
        "allowed      no",
        "- reason       rate-limited",
        "+ reason       quota-exceeded",
        "- remedy       tier or add-on 'free'",
        "+ remedy       tier 'pro'",
        "- used         99",
        "+ used         100",
        "considered   tier:free says 100: won",
    ]
    assert "denials.py" not in output, "the failure is shown in the user's test"


def test_a_fixture_of_the_project_replaces_the_policy_and_the_accounts(project):
    project.makepyfile(
        """
        import pytest
        from entitlements import Account, Policy

        @pytest.fixture
        def entitlements_policy():
            return Policy.parse({"policy": {"version": 7}, "features": {"sso": "Sign-on"}, "tiers": {
                "only": {"rank": 1}, "more": {"rank": 2, "features": ["sso"]}}})

        @pytest.fixture
        def entitlements_accounts():
            return {"acme": "only"}

        def test_it(enforcer, assert_denied):
            assert_denied(enforcer.decide("acme", "sso"), tier="only", policy="7")
        """
    )

    project.runpytest("-p", "no:cacheprovider").assert_outcomes(passed=1)


def test_a_project_without_a_policy_is_told_what_to_write(pytester):
    pytester.makepyprojecttoml(CONFIGURATION.replace('entitlements_policy = "policies/policy.yaml"', ""))
    pytester.makepyfile("def test_it(enforcer): pass")

    output = pytester.runpytest("-p", "no:cacheprovider").stdout.str()

    assert 'write entitlements_policy = "policy.yaml"' in output


def test_the_async_enforcer_counts_in_the_same_store(project):
    project.makepyfile(IN_ASYNC)

    project.runpytest("-p", "no:cacheprovider").assert_outcomes(passed=1)


@pytest.mark.parametrize("toggle", ["down", "silent", "lossy"])
def test_a_store_that_is_up_again_answers_the_next_call(project, toggle):
    """A rate goes on in the process, a quota is refused, and neither waits for the pause of the circuit breaker."""
    project.makepyfile(
        f"""
        def test_outage(enforcer, fault):
            with fault.{toggle}():
                decisions = [enforcer.consume("acme", name) for name in ("api", "leads") * 30]
                assert {{True}} == {{each.degraded for each in decisions}}
                assert {{"local", "static"}} >= {{each.via for each in decisions[::2]}}
                assert not any(decisions[1::2])
            after = enforcer.consume("acme", {{"api": 1, "leads": 1}})
            assert (after.allowed, after.degraded, after.via) == (True, False, "memory")
            assert after.parts["leads"].used == 1
        """
    )

    project.runpytest("-p", "no:cacheprovider").assert_outcomes(passed=1)


def test_local_limits_follow_the_frozen_clock(project):
    project.makepyfile(
        """
        from datetime import timedelta

        def test_outage(enforcer, entitlements_clock, fault, assert_denied):
            fault.down()
            assert enforcer.consume("acme", "api", 100)
            assert_denied(enforcer.consume("acme", "api"), "rate-limited", tier="free")
            entitlements_clock.advance(timedelta(minutes=61))
            assert enforcer.consume("acme", "api", 100)
        """
    )

    project.runpytest("-p", "no:cacheprovider").assert_outcomes(passed=1)


def test_a_run_that_uses_no_fixture_imports_nothing_of_the_package_but_the_plugin(project, monkeypatch):
    project.makepyfile(
        """
        import sys

        def test_it():
            loaded = sorted(name for name in sys.modules if name.startswith("entitlements"))
            assert loaded == ["entitlements", "entitlements.pytest_plugin"]
        """
    )

    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    project.makepyprojecttoml("")

    project.runpytest_subprocess("-p", "entitlements.pytest_plugin").assert_outcomes(passed=1)
