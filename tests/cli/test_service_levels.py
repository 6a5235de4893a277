"""`entitlements sla` and `entitlements health`: promised times, deadlines and health scores."""

import json
from pathlib import Path

import pytest

from entitlements.cli import main

ROOT = Path(__file__).resolve().parents[2]
OPENED = ["--opened", "2026-11-20T15:00Z"]
COMPONENTS = ("engagement", "success", "satisfaction", "financial")


@pytest.fixture
def run(capsys, monkeypatch):
    monkeypatch.chdir(ROOT)
    for name in ("ENTITLEMENTS_POLICY", "ENTITLEMENTS_ACCOUNTS", "FORCE_COLOR", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)

    def run(*argv):
        code = main(argv)
        output = capsys.readouterr()
        return code, output.out, output.err

    return run


def test_sla_shows_the_promised_times(run):
    code, out, _ = run("sla", "x", "P2", "--tier", "small-business")

    assert (0, "x, on tier small-business: p2, High, Major feature unavailable") == (code, out.splitlines()[0])
    assert "response    in less than 24 hours (support-hours)\n" in out
    assert "resolution  in less than 7 days (calendar)\n" in out


def test_sla_shows_the_deadline_and_the_time_left(run):
    code, out, _ = run("sla", "harborwick", "P2", "--opened", "2026-11-20T23:00Z", "--at", "2026-11-21T16:00Z")

    assert 0 == code
    assert "due 2026-11-23 15:00 UTC (Monday 10:00 America/New_York)" in out


def test_sla_exits_with_1_if_a_deadline_is_missed_or_no_time_is_promised(run):
    late = run("sla", "harborwick", "P1", *OPENED, "--at", "2026-11-20T18:30Z")
    done = run(
        "sla", "harborwick", "P1", *OPENED, "--responded", "2026-11-20T16:00Z", "--resolved", "2026-11-20T17:00Z"
    )
    nothing = run("sla", "x", "P3", "--tier", "freemium", *OPENED)

    assert (1, 0, 1) == (late[0], done[0], nothing[0])
    assert "late by 90 minutes" in late[1]
    assert 2 == done[1].count("done in time")
    assert "no commitment: 48+ hours" in nothing[1]


def test_sla_writes_json(run):
    code, out, _ = run("sla", "harborwick", "P1", *OPENED, "--at", "2026-11-20T16:00Z", "--json")
    answer = json.loads(out)

    assert (0, "enterprise", False) == (code, answer["tier"], answer["breached"])
    assert {"within": 7200, "due": "2026-11-20T17:00:00Z", "left": 3600} == {
        name: answer["response"][name] for name in ("within", "due", "left")
    }


def test_sla_leaves_out_the_times_in_which_a_ticket_was_paused(run):
    late = ("sla", "harborwick", "P1", *OPENED, "--responded", "2026-11-20T18:30Z", "--at", "2026-11-20T19:00Z")

    assert (1, 0) == (run(*late)[0], run(*late, "--paused", "2026-11-20T15:30Z/2026-11-20T18:00Z")[0])


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["sla", "harborwick", "P9"], "there are p1, p2, p3, p4"),
        (["sla", "harborwick", "P1", "--opened", "yesterday"], "--opened 'yesterday' is not a date"),
        (["sla", "harborwick", "P1", "--resolved", "2026-11-20"], "need --opened"),
        (["sla", "harborwick", "P1", *OPENED, "--resolved", "2026-11-19"], "lies before opened"),
        (["sla", "harborwick", "P1", *OPENED, "--paused", "2026-11-21"], "write START/END"),
        (["health", "harborwick", "--score", "engagement"], "has no number"),
        (["health", "harborwick", "--score", "engagement=120"], "must be a number from 0 to 100"),
        (["health", "harborwick", "--score", "engagment=20"], "did you mean 'engagement'"),
    ],
)
def test_an_invalid_option_is_an_error_with_exit_code_2(run, argv, words):
    code, out, err = run(*argv)

    assert (2, "") == (code, out)
    assert words in err


def test_health_shows_the_score_and_its_parts(run):
    code, out, _ = run("health", "harborwick", *(word for each in COMPONENTS for word in ("--score", f"{each}=80")))

    assert 0 == code
    assert out.startswith("harborwick, on tier enterprise: health 80.0 of 100\n  success")
    assert "tracked: Lead volume and quality" in out


def test_health_names_missing_components_and_exits_with_1(run):
    code, out, _ = run("health", "harborwick", "--score", "success=50", "--json")
    answer = json.loads(out)

    assert (1, None, 50, ["engagement", "financial", "satisfaction"]) == (
        code, answer["score"], answer["so_far"], answer["missing"],
    )  # fmt: skip
    assert "the tier has none" in run("health", "x", "--tier", "freemium")[1]
