"""`entitlements test`: tables of expected answers, with exit code and a diff."""

from __future__ import annotations

import json
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from entitlements import Policy
from entitlements.cli import main
from entitlements.policy_tests import evaluate, read_tables

POLICY = """\
policy: {version: 1}
features: {sso: Single sign-on}
levels: {tools: [none, basic, full]}
limits:
  api: {kind: rate}
  leads: {kind: quota}
  disk: {kind: allocation, unit: byte}
tiers:
  free: {rank: 1, limits: {api: 10 per hour, leads: 100}, values: {reply: 4 hours, uptime: {no-commitment: Best effort}}}
  pro:
    rank: 2
    features: [sso]
    levels: {tools: basic}
    limits: {api: 100 per hour, leads: {included: 500, overage: allow}, disk: 5 GB}
    values: {reply: 1 hour, cities: [Lyon, Bern]}
  taste: {rank: 1, extends: pro, trial: {of: 14 days, then: free}}
add_ons:
  base: {limits: {leads: 50}}
  more: {limits: {leads: {sets: 900}}, requires: [base]}
"""
ACCOUNTS = """\
accounts:
  acme: {tier: pro, add_ons: base=2, overrides: "sso=false (unpaid, by Ann, from 2026-05-01)"}
  beta: free
  odd: {tier: free, add_ons: more}
"""


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """Return a function that runs the command on the text of a tests file; it returns code, stdout and stderr."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NO_COLOR", "1")
    (tmp_path / "policy.yaml").write_text(POLICY, encoding="utf-8")

    def run(text, *options):
        (tmp_path / "tests.yaml").write_text(text, encoding="utf-8")
        code = main(["test", "policy.yaml", "tests.yaml", *options])
        return code, *capsys.readouterr()

    return run


def test_answers_as_expected_end_with_0(run):
    text = """\
at: 2026-04-01
accounts: {acme: {tier: pro, add_ons: base=2}}
tables:
  - tiers: [free, pro, taste]
    answers:
      sso: [false, true, true]
      tools: [false, basic, true]
      "tools:basic": [false, true, true]
      "tools:full": false
      api: [10 per hour, 100 per hour, 100 per hour]
      leads: [100, {included: 500, overage: allow}, {included: 500, overage: allow}]
      disk: [not-included, 5 GB, 5000000000]
      reply: [4 hours, 1 hour, PT1H]
      uptime: [no-commitment, not-included, not-included]
      uptime.label: [Best effort, not-included, not-included]
  - tier: pro
    answers: {cities: [Lyon, Bern]}
  - account: acme
    answers: {leads: {included: 600, overage: allow}}
"""
    assert (0, "tests.yaml: 32 answers as expected\n", "") == run(text)


def test_other_answers_are_a_diff_with_line_and_source_and_end_with_1(run):
    text = (
        ACCOUNTS
        + """\
tables:
  - tier: free
    at: 2026-04-01
    answers: {leads: 5000, sso: true}
  - accounts: [acme, beta]
    at: 2026-06-01T12:00:00Z
    answers:
      sso: [true, false]
      reply: 2 hours
      tools: [full, none]
"""
    )
    code, out, err = run(text)

    assert (1, "") == (code, err)
    assert (
        out
        == """\
tests.yaml:8: free, leads, at 2026-04-01T00:00:00Z
  - 5,000
  + 100   tier:free
tests.yaml:8: free, sso, at 2026-04-01T00:00:00Z
  - yes
  + no   tier:free
tests.yaml:12: acme, sso, at 2026-06-01T12:00:00Z
  - yes
  + no   override:sso
tests.yaml:13: acme, reply, at 2026-06-01T12:00:00Z
  - 2 hours
  + 1 hour   tier:pro
tests.yaml:13: beta, reply, at 2026-06-01T12:00:00Z
  - 2 hours
  + 4 hours   tier:free
tests.yaml:14: acme, tools, at 2026-06-01T12:00:00Z
  - full
  + basic   tier:pro
tests.yaml: 6 of 8 answers differ
"""
    )


def test_a_row_may_have_one_answer_for_each_instant(run):
    text = (
        ACCOUNTS
        + """\
tables:
  - account: acme
    at: [2026-04-30T23:59:59Z, 2026-05-01]
    answers: {sso: [true, false], reply: 1 hour}
"""
    )
    assert 0 == run(text)[0]


def test_a_bad_account_is_an_answer_too(run):
    text = ACCOUNTS + "tables:\n  - {account: odd, error: requires 'base'}\n  - {account: beta, error: anything}\n"

    code, out, _ = run(text, "--json")
    report = json.loads(out)

    assert (1, 2, 1) == (code, report["asked"], report["failed"])
    assert ("tests.yaml", 7, "beta", "", "an error with 'anything'", "no error") == tuple(
        report["failures"][0][key] for key in ("file", "line", "subject", "name", "expected", "answer")
    )
    assert (
        "an error: account 'odd': add-on 'more' requires 'base'"
        in run(ACCOUNTS + "tables:\n  - {account: odd, answers: {sso: true}}\n")[1]
    )


def test_an_expected_answer_that_cannot_be_one_is_an_error_of_the_file(run):
    text = """\
tables:
  - tier: pro
    answers:
      sso: perhaps
      api: 100
      tools: huge
      leads:
"""
    code, out, err = run(text)
    said = " ".join(err.split())

    assert (2, "") == (code, out)
    assert "tests.yaml:4: answer of 'sso': 'perhaps' is no answer for 'sso'; write true or false" in said
    assert "tests.yaml:5: answer of 'api': 100 names no window; write '100 per hour'" in said
    assert "tests.yaml:6: answer of 'tools': 'huge' is not one of its levels; write none, basic or full" in said
    assert "tests.yaml:7: answer of 'leads': nothing is written" in said


@pytest.mark.parametrize("text", ["", "id,tier\nacme,pro\n", "- a\n"])
def test_a_file_that_is_no_tests_file_is_one_error_with_its_own_cure(run, text):
    code, out, err = run(text)
    said = " ".join(err.split())

    assert (2, "") == (code, out)
    assert 1 == said.count("name a file with tables: [{tier: pro, answers: {sso: true}}]")
    assert "there is no list of tables" not in said


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("tables: 5\n", "tests.yaml:1: there is no list of tables"),
        ("tables: []\n", "there is no list of tables; write tables: [{tier: pro, answers: {sso: true}}]"),
        ("tables: [{tier: pro, answers: {}}]\n", "the table has no answers; write answers: {sso: true}"),
        ("tables: [{tier: pro, answers: {sso: true}, error: x}]\n", "the table has answers and an error; write answers: {sso: true}, or error: <text>"),
        ("tables: [{tier: pro, error: ''}]\n", "'' is no part of a message; write error: <text>"),
        ("tables: [{tier: pro, error: }]\n", "None is no part of a message; write error: <text>"),
        ("tables: [{tiers: [], answers: {sso: true}}]\n", "tiers is an empty list; name at least one, or leave the table out"),
        ("tables: [{tier: pro, at: [], answers: {sso: true}}]\n", "at is an empty list"),
        ("accounts: [acme]\ntables: [{tier: pro, answers: {sso: true}}]\n", "accounts is a list; write {acme: {tier: pro}}"),
        ("accounts: {acme: {tier: pro, overides: x}}\ntables: [{tier: pro, answers: {sso: true}}]\n", "account 'acme': 'overides' is no column; did you mean 'overrides'?"),
        ("tests: []\n", "'tests' is no key here; write one of at, accounts, tables"),
        ("tables:\n  - {tier: por, answers: {sso: true}}\n", "tests.yaml:2: 'por' is no tier of the policy; did you mean 'pro'?"),
        ("tables:\n  - {account: acme, answers: {sso: true}}\n", "'acme' is no account of this file; there are none"),
        ("tables:\n  - tier: pro\n    answers: {ss0: true}\n", "tests.yaml:3: the policy has no feature, limit or value 'ss0'; did you mean 'sso'?"),
        ("tables:\n  - {tiers: [free, pro], answers: {sso: [true, false, true]}}\n", "3 answers for 2 columns; write one answer for each, or one for all"),
        ("tables:\n  - {tier: pro}\n", "the table has no answers; write answers: {sso: true}, or error: <text>"),
        ("tables:\n  - {answers: {sso: true}}\n", "the table has 0 subjects; write one of tier, tiers, account, accounts"),
        ("tables:\n  - {tier: pro, at: tomorrow, answers: {sso: true}}\n", "'tomorrow' is not a date; write a date such as 2026-03-01"),
        ("tables:\n  - {tiers: [free, pro], at: [2026-01-01, 2026-02-01], answers: {sso: true}}\n", "several subjects and several instants; write one of the two as a list"),
        ("accounts: {acme: {add_ons: base}}\ntables: []\n", "account 'acme': it has no tier; write {tier: pro}"),
        ("accounts: {acme: {tier: pro, grants: leads}}\ntables: [{tier: pro, answers: {sso: true}}]\n", "account 'acme': grant 'leads' is not a limit and a count; write leads+500"),
        ("accounts: none.csv\ntables: []\n", "none.csv"),
        ("tables: [\n", "not YAML"),
    ],
)  # fmt: skip
def test_a_tests_file_that_cannot_be_read_names_line_and_cure_and_ends_with_2(run, text, said):
    code, out, err = run(text)

    assert (2, "") == (code, out)
    assert said in " ".join(err.split())


def test_accounts_may_stand_in_a_csv_beside_the_tests(run, tmp_path):
    (tmp_path / "accounts.csv").write_text("id,tier,grants\nacme,free,leads+5\n", encoding="utf-8")

    assert 0 == run("accounts: accounts.csv\ntables: [{account: acme, answers: {leads: 105}}]\n")[0]


def test_the_tests_of_a_policy_folder_are_found(tmp_path, capsys):
    (tmp_path / "policy" / "tests").mkdir(parents=True)
    (tmp_path / "policy" / "policy.yaml").write_text(POLICY, encoding="utf-8")
    (tmp_path / "policy" / "tests" / "a.yaml").write_text(
        "tables: [{tier: pro, answers: {sso: true}}]\n", encoding="utf-8"
    )

    assert 0 == main(["test", str(tmp_path / "policy")])
    os.remove(tmp_path / "policy" / "tests" / "a.yaml")  # noqa: PTH107
    (tmp_path / "policy" / "tests").rmdir()
    assert 2 == main(["test", str(tmp_path / "policy")])
    assert "is no folder of tests; name a tests file" in " ".join(capsys.readouterr().err.split())


def test_the_tests_of_the_customer_tiers_pass(capsys):
    assert 0 == main(["test", "policies/customer-tiers"])
    assert "answers as expected" in capsys.readouterr().out


SIZES = st.one_of(st.integers(0, 10**9), st.just("unlimited"), st.just("not-included"))


@given(sizes=st.lists(SIZES, min_size=1, max_size=4), wrong=st.sets(st.integers(0, 3)))
def test_exactly_the_answers_that_differ_are_told(tmp_path_factory, sizes, wrong):
    tiers = {f"t{at}": {"rank": at, "limits": {"leads": size}} for at, size in enumerate(sizes)}
    policy = Policy.parse({"policy": {"version": 1}, "limits": {"leads": {"kind": "quota"}}, "tiers": tiers})
    expected = [10**9 + 1 if at in wrong else size for at, size in enumerate(sizes)]
    file = tmp_path_factory.getbasetemp() / "sizes.yaml"
    answers = expected if len(expected) > 1 else expected[0]
    file.write_text(json.dumps({"tables": [{"tiers": list(tiers), "answers": {"leads": answers}}]}), encoding="utf-8")

    told = {each.subject for each in evaluate(policy, read_tables(file, policy, 0))}

    assert {f"t{at}" for at in wrong if at < len(sizes)} == told
