"""`entitlements usage` shows what the store counted, where a quota is heading, and what happens when nothing is left."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import starmap

import pytest
from hypothesis import given
from hypothesis import strategies as st
from servers import free_port

from entitlements import NOT_INCLUDED, UNLIMITED, Enforcer, Policy, Usage
from entitlements.cli import main
from entitlements.model.facts import Facts, Offer, Remedy
from entitlements.model.instants import to_instant
from entitlements.model.limits import Algorithm, Allocation, Mode, Quota, Rate
from entitlements.model.reasons import Reason
from entitlements.presentation.usage_meters import EARLY, effect_of_full, meter_of
from entitlements.rules.periods import month_ends

START, END = datetime(2026, 4, 1, tzinfo=UTC), datetime(2026, 5, 1, tzinfo=UTC)
LEADS = Quota("leads")


def facts(limit=LEADS, **named):
    return Facts("1", limit.name, "pro", "tier:pro", (), Reason.INCLUDED, limit, **named)


def used(used, limit=100, resets_at=END):
    return Usage(used, 0, limit, 0, resets_at)


def projected(count, share, limit=100):
    now = to_instant(START + (END - START) * share)
    return meter_of(facts(), used(count, limit), START, now).projected


# --- Where it is heading ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("count", "share", "expected"),
    [
        (30, 0.5, 60),
        (30, 0.1, 300),
        (7, 0.3, 23),
        (0, 0.5, 0),
        (30, 1, 30),
        (3, 0.01, 300),
        (3, 0.0099, None),
        (3, 1.1, None),
    ],
)
def test_a_quota_goes_on_as_it_has(count, share, expected):
    assert expected == projected(count, share)


@given(st.integers(0, 2**53 - 1), st.integers(-(-2_592_000 // EARLY), 2_592_000))
def test_the_projection_is_the_nearest_unit_to_a_straight_line(count, gone):
    found = meter_of(facts(), used(count), START, to_instant(START + timedelta(seconds=gone))).projected

    assert abs(found * gone - count * 2_592_000) * 2 <= gone


def test_what_has_no_period_is_not_projected():
    now = to_instant(START) + 10**12
    assert meter_of(facts(Allocation("agents")), used(5, resets_at=None), None, now).projected is None
    assert meter_of(facts(Rate("api")), used(5), None, now).projected is None
    assert meter_of(facts(), used(5), None, now).projected is None


# --- When nothing is left -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("limit", "size", "says"),
    [
        (LEADS, 100, "refused until the period ends"),
        (Allocation("agents"), 3, "nothing more until some is released"),
        (Rate("api"), 3, "refused until earlier units are a window old"),
        (Rate("api", algorithm=Algorithm.FIXED), 3, "refused until the window ends"),
        (Rate("api", algorithm=Algorithm.TOKEN_BUCKET), 3, "refused until tokens drip in"),
        (Quota("leads", mode=Mode.SHADOW), 100, "goes on (shadow mode: measured, never refused)"),
        (Quota("leads", mode=Mode.SHADOW), UNLIMITED, "never refused"),
        (LEADS, 0, "always refused"),
        (LEADS, NOT_INCLUDED, "always refused"),
    ],
)
def test_what_happens_at_the_limit_follows_from_its_kind_and_mode(limit, size, says):
    assert says == effect_of_full(meter_of(facts(limit), used(1, size), None, 0))


@pytest.mark.parametrize(
    ("count", "size", "tier", "add_on"),
    [
        (0, 100, ("mid", 500), "more"),
        (100, 100, ("mid", 500), "more"),
        (120, 100, ("mid", 500), None),
        (500, 100, ("top", UNLIMITED), None),
        (None, 100, ("mid", 500), "more"),
    ],
)
def test_the_remedy_has_more_than_both_the_limit_and_what_is_used(count, size, tier, add_on):
    ways = facts(
        tiers=tuple(starmap(Offer, (("same", 100), ("none", NOT_INCLUDED), ("mid", 500), ("top", UNLIMITED)))),
        add_ons=(Offer("more", 120),),
    )
    meter = meter_of(ways, used(count, size), None, 0)

    assert (Remedy(tier[0], add_on), tier[1]) == (meter.remedy, meter.more)


def test_where_an_override_has_the_last_word_nothing_helps():
    ways = facts(tiers=(("top", UNLIMITED),), add_ons=(("more", 120),))

    assert meter_of(replace(ways, is_final=True), used(5), None, 0).remedy is None
    assert meter_of(ways, used(5, UNLIMITED), None, 0).remedy is None
    assert meter_of(facts(), used(5), None, 0).remedy is None


# --- On a real server ---------------------------------------------------------------------------------------------

POLICY = """\
policy: {version: 7}
limits:
  api: {kind: rate, on_outage: allow}
  jobs: {kind: rate, algorithm: token-bucket, burst: 5}
  per-ip: {kind: rate, per: ip}
  leads: {kind: quota}
  tries: {kind: quota, mode: shadow}
  agents: {kind: allocation}
  storage: {kind: allocation, unit: byte}
  extra: {kind: allocation}
tiers:
  pro: {rank: 1, limits: {api: 10 per hour, jobs: 60 per minute, per-ip: 5 per minute, leads: 100, tries: 2, agents: 3, storage: 10 GB}}
  top: {rank: 2, extends: pro, limits: {api: unlimited, leads: 2000}}
add_ons:
  more-agents: {limits: {agents: 2}, price: 5 per month}
"""


@pytest.fixture
def here(tmp_path, monkeypatch, valkey):
    """A folder with a policy and accounts, both and the server found by the environment."""
    for name in ("NO_COLOR", "FORCE_COLOR", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "policy.yaml").write_text(POLICY, encoding="utf-8")
    (tmp_path / "accounts.csv").write_text("id,tier\nacme,pro\nhuge,top\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ENTITLEMENTS_POLICY", "policy.yaml")
    monkeypatch.setenv("ENTITLEMENTS_ACCOUNTS", "accounts.csv")
    monkeypatch.setenv("ENTITLEMENTS_STORE", valkey.url)
    return tmp_path


@pytest.fixture
def enforcer(here, valkey):
    with Enforcer(Policy.load("policy.yaml"), accounts="accounts.csv", store=valkey.url) as enforcer:
        yield enforcer


def counts(usage):
    return {name: (each.used, each.reserved) for name, each in usage.items()}


def now():
    return int(datetime.now(UTC).timestamp() * 1_000_000)


def test_every_meter_is_a_bar_with_what_happens_at_its_end(enforcer, capsys):
    enforcer.consume("acme", "leads", 40)
    enforcer.reserve("acme", "leads", 20)
    enforcer.consume("acme", "tries", 3)
    enforcer.consume("acme", "agents", 3)
    enforcer.set_usage("acme", "storage", 12_500_000_000)
    enforcer.consume("acme", "api")
    before = enforcer.usage("acme")

    assert 0 == main(["usage", "acme"])

    out = capsys.readouterr().out
    lines = out.splitlines()
    assert "acme: on tier pro" == lines[0]
    bars = {line.split()[0]: " ".join(line.split()[1:]) for line in lines[1:] if line[0] not in " n"}
    assert {
        "api": "██░░░░░░░░░░░░░░░░░░ 1 of 10 per hour (10 %), 9 left",
        "jobs": "░░░░░░░░░░░░░░░░░░░░ 0 of 5 at once, 60 per minute (0 %), 5 left",
        "leads": "████████▒▒▒▒░░░░░░░░ 60 of 100 per month (60 %), 20 of it reserved, 40 left",
        "tries": "████████████████████ 3 of 2 per month (150 %), 0 left",
        "agents": "████████████████████ 3 of 3 (100 %), 0 left",
        "storage": "████████████████████ 12.5 GB of 10 GB (125 %), 0 bytes left",
    } == bars
    assert (
        "at 100 %: refused until earlier units are a window old; tier top has unlimited; without the store: allowed\n"
        in out
    )
    assert "at 100 %: refused until the period ends; tier top has 2,000 per month; without the store: refused\n" in out
    assert "at 100 %: goes on (shadow mode: measured, never refused); without the store: allowed\n" in out
    assert "at 100 %: nothing more until some is released; add-on more-agents (5 per month) adds some; without" in out
    assert [
        "not included: extra",
        "not shown, because it is counted for each scope: per-ip per ip; add --scope",
    ] == lines[-2:]
    assert counts(before) == counts(enforcer.usage("acme"))


def test_json_has_every_field_and_a_quota_s_projection(enforcer, capsys):
    enforcer.consume("acme", "leads", 60)
    _, start, end, _ = month_ends(None, now())

    assert 0 == main(["usage", "acme", "--json"])

    said = json.loads(capsys.readouterr().out)
    leads = said["limits"]["leads"]
    assert ("acme", "pro", "7", None) == tuple(said[name] for name in ("account", "tier", "policy", "scope"))
    assert (60, 0, 100, 40, 0.6) == tuple(leads[name] for name in ("used", "reserved", "limit", "remaining", "share"))
    assert {"tier": "top", "add_on": None, "limit": 2000} == leads["at_full"]["remedy"]
    assert ("enforce", "deny") == (leads["at_full"]["mode"], leads["at_full"]["on_outage"])
    assert "not-included" == said["limits"]["extra"]["limit"]
    if now() - start > (end - start) // EARLY:  # else it is too early in the month to say
        assert abs(60 * (end - start) / (now() - start) - leads["projected"]) <= 1


def test_unlimited_is_counted_and_has_no_end(enforcer, capsys):
    enforcer.consume("huge", "leads", 1)
    enforcer.consume("huge", "api", 1)
    main(["usage", "huge"])
    out = capsys.readouterr().out

    assert "api      ░░░░░░░░░░░░░░░░░░░░  unlimited, not counted\n" in out
    assert "never refused; without the store: allowed\n" in out


def test_a_scope_shows_what_is_kept_for_it_beside_the_account_s_own(enforcer, capsys):
    enforcer.consume("acme", "per-ip", 2, scope="1.2.3.4")

    main(["usage", "acme"])
    assert "of 5 per minute" not in capsys.readouterr().out
    main(["usage", "acme", "--scope", "1.2.3.4"])
    out = capsys.readouterr().out
    assert "acme: on tier pro, scope 1.2.3.4\n" in out
    assert "2 of 5 per minute (40 %), 3 left\n" in out


def test_a_narrow_terminal_breaks_no_line_but_its_own(enforcer, capsys, monkeypatch):
    enforcer.consume("acme", "leads", 99)
    monkeypatch.setenv("COLUMNS", "64")
    main(["usage", "acme"])

    out = capsys.readouterr().out
    assert max(map(len, out.splitlines())) <= 64
    assert "█" * 19 + "░" in out  # 99 % is not full


@pytest.mark.parametrize(
    ("options", "code", "says"),
    [
        (["acme", "--store", "memory://"], 2, "memory:// counts inside of one process"),
        (["acme", "--store", "http://host"], 2, "scheme 'http'"),
        (["acme", "--scope", "a\nb"], 2, "--scope"),
        (["nobody"], 3, "not in accounts.csv"),
        (["acme", "--store", "redis://:secret@127.0.0.1:1"], 5, "cannot connect"),
    ],
)
def test_what_cannot_be_answered_has_its_exit_code(options, code, says, here, capsys):
    assert code == main(["usage", *options])
    said = capsys.readouterr()
    assert ("", 1) == (said.out, len(said.err.splitlines()))
    assert says in said.err
    assert "secret" not in said.err


def test_without_a_store_the_cure_is_told(here, monkeypatch, capsys):
    monkeypatch.delenv("ENTITLEMENTS_STORE")

    assert 2 == main(["usage", "acme"])
    assert "entitlements: no store is given; add --store URL, or set ENTITLEMENTS_STORE\n" == capsys.readouterr().err


@pytest.mark.parametrize(
    "argv",
    [["preview", "acme", "top"], ["review"], ["diff", "policy.yaml", "policy.yaml", "--accounts", "accounts.csv"]],
)
@pytest.mark.parametrize("url", ["http://host", "localhost", "memory://", "redis://host/abc"])
def test_every_command_says_what_is_wrong_with_a_store_s_url(argv, url, here, capsys):
    assert 2 == main([*argv, "--store", url])
    said = capsys.readouterr()
    assert ("", 1) == (said.out, len(said.err.splitlines()))
    assert said.err.startswith("entitlements: ")


def test_a_store_that_is_away_is_told_of_once_and_without_advice_for_servers(here):
    """In a process of its own: without logging configured, warnings go to stderr."""
    store = f"redis://127.0.0.1:{free_port()}"
    argv = [sys.executable, "-m", "entitlements", "usage", "acme", "--store", store]

    done = subprocess.run(argv, capture_output=True, text=True, check=False)

    assert (5, "", 1) == (done.returncode, done.stdout, len(done.stderr.splitlines()))
    assert done.stderr.startswith(f"entitlements: store {store}: cannot connect; check that it runs")


def test_a_store_that_answers_leaves_nothing_to_warn_of(here):
    argv = [sys.executable, "-m", "entitlements", "usage", "acme"]

    done = subprocess.run(argv, capture_output=True, text=True, check=True)

    assert "" == done.stderr
