"""While two versions of a policy run, a rate is counted by each of its definitions, and never beyond their sum."""

from itertools import permutations

import pytest

from entitlements import Enforcer, Policy
from entitlements.model.answers import Status
from entitlements.model.charge import Charge, Part, Read, Refund
from entitlements.model.instants import DAY, HOUR, SECOND
from entitlements.model.limits import Algorithm, Rate

LIMIT = 10
LONG = 10 * SECOND
LAWS = (
    Rate("api", HOUR, deadline=LONG),
    Rate("api", DAY, deadline=LONG),
    Rate("api", 2 * DAY, Algorithm.FIXED, deadline=LONG),
    Rate("api", 3 * DAY, Algorithm.FIXED, deadline=LONG),
    Rate("api", 10 * DAY, Algorithm.TOKEN_BUCKET, deadline=LONG),
    Rate("api", 20 * DAY, Algorithm.TOKEN_BUCKET, deadline=LONG),
)


def used(store, account, rate, size=LIMIT):
    return store.execute(Read(account, (Part(rate, size),))).lines[0].used


def test_two_definitions_of_one_name_admit_what_each_of_them_allows(any_store):
    for number, pair in enumerate(permutations(LAWS, 2)):
        admitted = dict.fromkeys(pair, 0)
        for turn in range(6 * LIMIT):
            outcome = any_store.execute(Charge(f"acme-{number}", (Part(pair[turn % 2], LIMIT),)))
            admitted[pair[turn % 2]] += outcome.status is Status.ADMITTED

        assert [LIMIT, LIMIT] == list(admitted.values()), pair


@pytest.mark.parametrize("rate", LAWS, ids=str)
def test_two_sizes_of_one_definition_share_a_meter(any_store, rate):
    admitted = [
        any_store.execute(Charge(f"size-{rate.meter_name}", (Part(rate, size),))).status is Status.ADMITTED
        for size in (LIMIT, 2 * LIMIT) * 3 * LIMIT
    ]

    assert 2 * LIMIT == sum(admitted)


def test_two_bursts_of_one_token_bucket_share_a_meter(any_store):
    small, large = (Rate("api", 10 * DAY, Algorithm.TOKEN_BUCKET, burst, deadline=LONG) for burst in (5, 20))

    admitted = [
        any_store.execute(Charge("burst", (Part(rate, LIMIT),))).status is Status.ADMITTED
        for rate in (small, large) * 20
    ]

    assert 20 == sum(admitted)


def test_units_go_back_to_the_meter_of_the_definition_that_took_them(any_store):
    one, other = LAWS[1], LAWS[3]
    part = Part(one, LIMIT, 4)
    line = any_store.execute(Charge("back", (part,))).lines[0]
    any_store.execute(Charge("back", (Part(other, LIMIT, 3),)))

    assert any_store.execute(Refund("back", None, rates=True, taken=((part, line),)))
    assert (0, 3) == (used(any_store, "back", one), used(any_store, "back", other))


def policy(size):
    return Policy.parse({
        "policy": {"version": size}, "limits": {"api": {"kind": "rate"}},
        "tiers": {"free": {"rank": 1, "limits": {"api": size}}},
    })  # fmt: skip


def test_a_policy_that_comes_back_finds_what_was_counted_under_it(any_store):
    with Enforcer(policy("3 per day"), accounts={"reloaded": "free"}, store=any_store) as enforcer:
        first = [enforcer.consume("reloaded", "api").allowed for _ in range(4)]
        enforcer.reload(policy("2 per hour"))
        second = [enforcer.consume("reloaded", "api").allowed for _ in range(3)]
        enforcer.reload(policy("3 per day"))

        assert [True, True, True, False] == first
        assert [True, True, False] == second
        assert not enforcer.consume("reloaded", "api")
