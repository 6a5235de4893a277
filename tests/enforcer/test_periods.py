"""Quotas by the day, week, month, year and for a lifetime, from the policy to every store."""

import asyncio
import json
from datetime import UTC, datetime, timedelta
from uuid import uuid4
from zoneinfo import ZoneInfo

import pytest
from webserver import exchange, hello

from entitlements import Account, AccountError, AsyncEnforcer, Enforcer, Override, Policy, PolicyError, Reason
from entitlements.http.asgi import EntitlementsMiddleware
from entitlements.http.routes import Route
from entitlements.model.events import Threshold
from entitlements.model.instants import to_datetime
from entitlements.testing import FakeClock

PERIODS = ("day", "week", "month", "year", "lifetime")
LONG = {"deadline": "10 seconds"}


def policy(zone=None, size=3):
    head = {"version": "1"} | ({"time_zone": zone} if zone else {})
    return Policy.parse({
        "policy": head,
        "limits": {period: {"kind": "quota", "period": period, **LONG} for period in PERIODS},
        "tiers": {"pro": {"rank": 1, "limits": dict.fromkeys(PERIODS, size)}},
    })  # fmt: skip


def resets(enforcer, account="acme"):
    """Return the time at which each quota resets, as the clocks of UTC show it."""
    usage = enforcer.usage(account)
    return {period: usage[period].resets_at and f"{usage[period].resets_at:%Y-%m-%d %H:%M:%S}" for period in PERIODS}


@pytest.fixture
def clock():
    return FakeClock(datetime(2026, 11, 29, 12, tzinfo=UTC))  # a Sunday


def test_without_an_anchor_all_periods_are_those_of_the_calendar(clock):
    with Enforcer(policy(), accounts={"acme": "pro"}, clock=clock) as enforcer:
        assert {
            "day": "2026-11-30 00:00:00", "week": "2026-11-30 00:00:00", "month": "2026-12-01 00:00:00",
            "year": "2027-01-01 00:00:00", "lifetime": None,
        } == resets(enforcer)  # fmt: skip


def test_the_anchor_moves_months_and_years_and_the_time_zone_every_midnight(clock):
    anchor = datetime(2024, 2, 29, 10, 30, 15, tzinfo=UTC)
    accounts = {
        "utc": Account("utc", "pro", anchor=anchor),
        "tokyo": Account("tokyo", "pro", anchor=anchor, time_zone="Asia/Tokyo"),
        "day": Account("day", "pro", anchor=31, time_zone="Asia/Tokyo"),
    }
    with Enforcer(policy("America/New_York"), accounts={"acme": "pro", **accounts}, clock=clock) as enforcer:
        assert {
            "day": "2026-11-30 05:00:00", "week": "2026-11-30 05:00:00", "month": "2026-12-01 05:00:00",
            "year": "2027-01-01 05:00:00", "lifetime": None,
        } == resets(enforcer)  # fmt: skip
        tokyo, day = resets(enforcer, "tokyo"), resets(enforcer, "day")

    assert {
        "day": "2026-11-29 15:00:00", "week": "2026-11-29 15:00:00", "month": "2026-12-29 10:30:15",
        "year": "2027-02-28 10:30:15", "lifetime": None,
    } == tokyo  # fmt: skip
    assert ["2026-11-29 15:00:00", "2026-12-30 15:00:00"] == [day["month"], "2026-12-30 15:00:00"]
    assert "2027-01-30 15:00:00" == day["year"]


def test_the_time_zone_of_the_account_beats_that_of_the_policy(clock):
    account = Account("acme", "pro", time_zone="UTC")
    with Enforcer(policy("America/New_York"), accounts={"acme": account}, clock=clock) as enforcer:
        assert "2026-11-30 00:00:00" == resets(enforcer)["day"]


def test_each_quota_counts_by_its_own_period_in_one_charge(clock):
    with Enforcer(policy(size=9), accounts={"acme": "pro"}, clock=clock) as enforcer:
        left = []
        for step in (0, 12 * 60, 24 * 60, 2 * 24 * 60, 40 * 24 * 60):
            clock.advance(timedelta(minutes=step))
            decision = enforcer.consume("acme", dict.fromkeys(PERIODS, 1))
            left.append({name: part.used for name, part in decision.parts.items()})
            if step == 24 * 60:
                enforcer.set_usage("acme", "lifetime", 1)

    assert [1, 1, 1, 1, 1] == [each["day"] for each in left]
    assert [1, 1, 2, 3, 1] == [each["week"] for each in left]
    assert [1, 2, 1, 2, 1] == [each["month"] for each in left]
    assert [1, 2, 3, 4, 1] == [each["year"] for each in left]
    assert [1, 2, 3, 2, 3] == [each["lifetime"] for each in left]
    assert decision.allowed


def test_a_lifetime_never_resets_on_any_store(any_store):
    with Enforcer(policy(), accounts={"acme": "pro"}, store=any_store) as enforcer:
        taken = [enforcer.consume("acme", "lifetime"), enforcer.consume("acme", {"lifetime": 2, "day": 1})]
        refused = enforcer.consume("acme", "lifetime")
        usage, (period,) = enforcer.usage("acme")["lifetime"], enforcer.history("acme", "lifetime")
        assert [None] * 2 == [each.resets_at for each in (taken[0], taken[1].parts["lifetime"])]
        assert (False, Reason.QUOTA_EXCEEDED, None, None) == (
            refused.allowed, refused.reason, refused.retry_after, refused.resets_at,
        )  # fmt: skip
        assert (3, 0, None) == (usage.used, usage.remaining, usage.resets_at)
        assert (datetime(1970, 1, 1, tzinfo=UTC), None, 3, 1) == (period.start, period.end, period.used, period.denied)
        assert period.to_dict()["end"] is None

        assert enforcer.refund(taken[1])
        assert 0 == enforcer.set_usage("acme", "lifetime", 0).used
        with enforcer.reserve("acme", "lifetime", 2) as reservation:
            reservation.commit(1)
        assert 1 == enforcer.usage("acme")["lifetime"].used


def test_periods_of_every_length_are_counted_on_every_store(any_store):
    account = Account("acme", "pro", anchor=datetime(2024, 1, 31, 23, 59, 59, tzinfo=UTC), time_zone="Pacific/Apia")
    with Enforcer(policy(), accounts={"acme": account}, store=any_store) as enforcer:
        for _ in range(3):
            assert enforcer.consume("acme", dict.fromkeys(PERIODS, 1))
        refused = enforcer.consume("acme", dict.fromkeys(PERIODS, 1))
        assert {Reason.QUOTA_EXCEEDED} == {part.reason for part in refused.parts.values()}
        for period in PERIODS:
            (newest,) = enforcer.history("acme", period)
            assert (3, 1, refused.parts[period].resets_at) == (newest.used, newest.denied, newest.end)
            assert newest.start <= datetime.now(UTC)


def test_a_lifetime_is_kept_for_each_scope(any_store):
    written = Policy.parse({
        "policy": {"version": "1"},
        "limits": {
            "credits": {"kind": "quota", "period": "lifetime", "per": "user", **LONG},
            "rooms": {"kind": "allocation", "per": "user", **LONG},
        },
        "tiers": {"pro": {"rank": 1, "limits": {"credits": 2, "rooms": 2}}},
    })  # fmt: skip
    with Enforcer(written, accounts={"acme": "pro"}, store=any_store) as enforcer:
        for user in ("ann", "bob"):
            assert enforcer.consume("acme", {"credits": 2, "rooms": 1}, scope=user)
            assert not enforcer.consume("acme", "credits", scope=user)
            assert 1 == enforcer.release("acme", "rooms", 1, scope=user)
            (period,) = enforcer.history("acme", "credits", scope=user)
            assert (2, 1, None) == (period.used, period.denied, period.end)
        assert ("ann", "bob") == tuple(enforcer.scopes("acme"))
        enforcer.forget("acme", scope="ann")
        assert ("bob",) == tuple(enforcer.scopes("acme"))
        assert [0, 2] == [enforcer.usage("acme", scope=user)["credits"].used for user in ("ann", "bob")]


async def test_an_event_loop_counts_them_too(any_store):
    if isinstance(any_store, str):
        async with AsyncEnforcer(policy(), accounts={"acme": "pro"}, store=any_store) as enforcer:
            assert await enforcer.consume("acme", dict.fromkeys(PERIODS, 3))
            refused = await enforcer.consume("acme", dict.fromkeys(PERIODS, 1))
            usage = await enforcer.usage("acme")
            assert {Reason.QUOTA_EXCEEDED} == {part.reason for part in refused.parts.values()}
            assert [3] * 5 == [usage[period].used for period in PERIODS]


def test_a_new_anchor_or_time_zone_moves_the_end_and_resets_nothing(clock):
    with Enforcer(policy(), clock=clock) as enforcer:
        before = Account("acme", "pro")
        enforcer.consume(before, dict.fromkeys(PERIODS, 2))
        after = Account("acme", "pro", anchor=datetime(2026, 3, 7, 1, 2, 3, tzinfo=UTC), time_zone="Asia/Kathmandu")

        usage = enforcer.usage(after)

    assert [2] * 5 == [usage[period].used for period in PERIODS]
    assert "2026-12-07 01:02:03" == f"{usage['month'].resets_at:%Y-%m-%d %H:%M:%S}"
    assert "2026-11-29 18:15:00" == f"{usage['day'].resets_at:%Y-%m-%d %H:%M:%S}"


QUESTIONS = {
    "usage": lambda enforcer, account: enforcer.usage(account)["month"].resets_at,
    "peek": lambda enforcer, account: enforcer.peek(account, "month").resets_at,
    "history": lambda enforcer, account: enforcer.history(account, "month")[0].end,
    "a charge that another limit refuses": lambda enforcer, account: (
        enforcer.consume(account, {"month": 1, "day": 3}).parts["month"].resets_at
    ),
}


@pytest.mark.parametrize("ask", QUESTIONS.values(), ids=QUESTIONS)
@pytest.mark.parametrize("anchor", [5, 20, 31])
def test_a_period_ends_when_a_question_said_so_after_the_anchor_has_changed(clock, ask, anchor):
    """Also if no charge follows the question."""
    with Enforcer(policy(), clock=clock) as enforcer:
        enforcer.consume(Account("acme", "pro", anchor=15), {"month": 2, "day": 2})
        account = Account("acme", "pro", anchor=anchor)
        told = ask(enforcer, account)

        clock.set(told - timedelta(microseconds=1))
        assert (2, told) == (enforcer.usage(account)["month"].used, enforcer.usage(account)["month"].resets_at)
        clock.set(told)
        assert 0 == enforcer.usage(account)["month"].used


@pytest.mark.parametrize("ask", QUESTIONS.values(), ids=QUESTIONS)
def test_a_server_keeps_the_end_that_a_question_told(server, ask):
    limits = {"month": {"kind": "quota", **LONG}, "day": {"kind": "quota", **LONG}}
    tiers = {"pro": {"rank": 1, "limits": {"month": 3, "day": 3}}}
    served = Policy.parse({"policy": {"version": "1"}, "limits": limits, "tiers": tiers})
    id = f"anchored-{uuid4().hex}"
    with Enforcer(served, store=server.url) as enforcer, server.client() as client:
        enforcer.consume(Account(id, "pro"), {"month": 2, "day": 2})
        (key,) = client.keys(f"*{id}*")
        before = client.hget(key, "qmonth")
        told = ask(enforcer, Account(id, "pro", anchor=datetime.now(UTC) - timedelta(days=3)))
        after = client.hget(key, "qmonth")

    assert before[:8] == after[:8]
    assert told == to_datetime(int.from_bytes(after[8:16], "big"))
    assert before[24:48] == after[24:48]


def test_a_day_of_23_hours_ends_after_23(clock):
    berlin = ZoneInfo("Europe/Berlin")
    clock.set(datetime(2026, 3, 29, 0, 30, tzinfo=berlin))
    with Enforcer(policy("Europe/Berlin"), accounts={"acme": "pro"}, clock=clock) as enforcer:
        assert enforcer.consume("acme", "day", 3)
        clock.advance(timedelta(hours=22, minutes=29))
        assert not enforcer.consume("acme", "day")
        clock.advance(timedelta(minutes=1))
        assert enforcer.consume("acme", "day", 3)


def test_a_quota_keeps_thirteen_periods_of_its_own(clock):
    with Enforcer(policy(), accounts={"acme": "pro"}, clock=clock) as enforcer:
        for _ in range(20):
            enforcer.consume("acme", ["day", "year"][0])
            clock.advance(timedelta(days=1))
        found = enforcer.history("acme", "day")

    assert 13 == len(found)
    assert {timedelta(days=1)} == {each.end - each.start for each in found}


# --- Where a reset is shown ------------------------------------------------------------------------------------------


def responses(consumes, count, **options):
    """Return status, headers and problem of some requests that consume a unit each."""
    enforcer = AsyncEnforcer(policy(), accounts={"acme": "pro"})
    app = EntitlementsMiddleware(
        hello, enforcer=enforcer, identify=lambda _: "acme", default=Route(consumes=consumes), **options
    )

    async def ask():
        async with enforcer:
            return [await exchange(app) for _ in range(count)]

    for start, *rest in asyncio.run(ask()):
        body = b"".join(each.get("body", b"") for each in rest)
        yield start["status"], dict(start["headers"]), json.loads(body) if start["status"] != 200 else None


def test_headers_and_problems_of_a_lifetime_name_no_reset():
    *_, (_, told, _), (status, headers, problem) = responses({"lifetime": 1}, 4)

    assert (b'"lifetime";q=3', b'"lifetime";r=0') == (told[b"ratelimit-policy"], told[b"ratelimit"])
    assert (429, b'"lifetime";r=0') == (status, headers[b"ratelimit"])
    assert b"retry-after" not in headers
    assert (None, None, 3) == (problem["resets_at"], problem["retry_after"], problem["limit"])
    assert "All of 'lifetime' is used up." in problem["detail"]


@pytest.mark.parametrize(("style", "prefix"), [("draft-06", b"ratelimit"), ("x-ratelimit", b"x-ratelimit")])
def test_older_headers_of_a_lifetime_name_a_reset_that_is_centuries_away(style, prefix):
    ((_, headers, _),) = responses({"lifetime": 1}, 1, headers=style)

    assert (b"3", b"2") == (headers[prefix + b"-limit"], headers[prefix + b"-remaining"])
    assert int(headers[prefix + b"-reset"]) > 200 * 365 * 24 * 3600


def test_a_quota_by_the_day_resets_within_one():
    ((_, headers, _),) = responses({"day": 1}, 1)

    _, _, seconds = headers[b"ratelimit"].rpartition(b";t=")
    assert 0 <= int(seconds) <= 24 * 3600


def test_the_threshold_of_a_lifetime_is_reported_once(clock):
    seen = []
    with Enforcer(policy(), accounts={"acme": "pro"}, clock=clock, hooks=[seen.append]) as enforcer:
        for _ in range(3):
            decision = enforcer.consume("acme", "lifetime", 3)
            clock.advance(timedelta(days=400))
            enforcer.refund(decision)
            enforcer.set_usage("acme", "lifetime", 0)

    assert [80, 100] == [each.percent for each in seen if isinstance(each, Threshold)]


def test_a_smaller_tier_says_of_a_lifetime_that_nothing_comes_back(clock):
    written = Policy.parse({
        "policy": {"version": "1"},
        "limits": {"day": {"kind": "quota", "period": "day"}, "lifetime": {"kind": "quota", "period": "lifetime"}},
        "tiers": {each: {"rank": size, "limits": {"day": size, "lifetime": size}} for each, size in (("free", 1), ("pro", 9))},
    })  # fmt: skip
    with Enforcer(written, accounts={"acme": "pro"}, clock=clock) as enforcer:
        enforcer.consume("acme", {"day": 5, "lifetime": 5})
        found = {name: each.text for name, each in enforcer.plan_change("acme", "free").limits.items()}

    assert "nothing more until the period ends" in found["day"]
    assert found["lifetime"].endswith("4 over: nothing more")


# --- What cannot be read ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("zone", "cure"),
    [
        ("Europe/Berln", "did you mean 'Europe/Berlin'?"), ("../etc/passwd", "write the IANA name"), ("\n", "IANA"),
        ("America", "did you mean"), (5, "write the IANA name"), ("x" * 5000, "IANA"), ("a\x00b", "IANA"),
    ],
)  # fmt: skip
def test_a_time_zone_that_does_not_exist_is_a_problem_of_the_policy(zone, cure):
    with pytest.raises(PolicyError) as raised:
        policy(zone)

    (problem,) = raised.value.problems
    assert "policy.time_zone" == problem.path
    assert "is not a time zone" in problem.problem
    assert cure in problem.cure


@pytest.mark.parametrize("given", ["yaml", "csv"])
def test_it_is_reported_with_file_and_line(tmp_path, given):
    (tmp_path / "p.yaml").write_text(
        "policy:\n  version: 1\n"
        + ("  time_zone: Mars/Olympus\n" if given == "yaml" else "")
        + "tiers: {pro: {rank: 1}}\n",
        encoding="utf-8",
    )
    (tmp_path / "a.csv").write_text(
        "id,tier,time zone,anchor\nacme,pro,Mars/Olympus,2026-01-31 25:00\n", encoding="utf-8"
    )
    if given == "yaml":
        with pytest.raises(PolicyError, match=r"p\.yaml:3: policy\.time_zone: 'Mars/Olympus' is not a time zone"):
            Policy.load(tmp_path / "p.yaml")
        return
    from entitlements.accounts import CsvAccounts

    accounts = CsvAccounts(tmp_path / "a.csv")
    assert [
        (2, "anchor", "'2026-01-31 25:00' does not exist"),
        (2, "time zone", "'Mars/Olympus' is not a time zone"),
    ] == [(each.line, each.path, each.problem.partition(" (")[0]) for each in accounts.problems]


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"anchor": datetime(2026, 1, 31)}, "is a naive datetime; write an aware one"),  # noqa: DTZ001
        ({"anchor": 0}, "must be a day of the month, 1 to 31, or an aware datetime"),
        ({"anchor": 32}, "must be a day"),
        ({"anchor": "2026-01-31"}, "must be a day"),
        ({"anchor": True}, "must be a day"),
        ({"anchor": datetime.max.replace(tzinfo=UTC)}, "is too far away"),
        ({"time_zone": ""}, "is not the name of a time zone; write its IANA name"),
        ({"time_zone": UTC}, "is not the name of a time zone"),
    ],
)
def test_a_bad_anchor_or_time_zone_is_a_bad_account(wrong, said):
    with pytest.raises(AccountError, match=f"account 'acme': .*{said}"):
        Account("acme", "pro", **wrong)


@pytest.mark.parametrize("more", [{}, {"overrides": [Override("month", 5, reason="test", author="ops")]}])
def test_an_account_in_a_time_zone_that_does_not_exist_is_a_bad_account(more):
    account = Account("acme", "pro", time_zone="Europe/Berln", **more)
    with (
        Enforcer(policy()) as enforcer,
        pytest.raises(AccountError, match=r"time_zone 'Europe/Berln' is not a .*'Europe/Berlin'"),
    ):
        enforcer.usage(account)


@pytest.mark.parametrize("size", ["5 per month", "5 per year", "5 per 4 weeks 3 days", "5 per lifetime"])
def test_a_rate_of_a_month_or_more_is_a_problem(size):
    with pytest.raises(PolicyError, match="rate"):
        Policy.parse({
            "policy": {"version": "1"}, "limits": {"api": {"kind": "rate"}},
            "tiers": {"pro": {"rank": 1, "limits": {"api": size}}},
        })  # fmt: skip
