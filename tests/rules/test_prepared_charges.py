"""A prepared charge is decided, and counted, as the law of the ledger says."""

from __future__ import annotations

from copy import deepcopy

from hypothesis import given
from hypothesis import strategies as st
from strategies import NOW

from entitlements.model.answers import Status
from entitlements.model.charge import Charge, Part, Refund, SetUsage, Verb
from entitlements.model.instants import DAY, MINUTE, SECOND
from entitlements.model.limits import UNLIMITED, Algorithm, Allocation, Mode, Quota, Rate
from entitlements.model.sequence import sequence_id
from entitlements.rules.ledger import Ledger, charge
from entitlements.rules.orders import execute_order
from entitlements.rules.periods import month_ends
from entitlements.rules.prepared_charges import charge_prepared, takes_of

ACCOUNT = "acme"
RATES = [Rate(algorithm, MINUTE, algorithm, burst=7) for algorithm in Algorithm]
COUNTED = [Quota("leads"), Quota("mails"), Allocation("agents"), Allocation("rooms")]
SHADOW = [
    Rate("soft", MINUTE, mode=Mode.SHADOW),
    Quota("trial", mode=Mode.SHADOW),
    Allocation("guests", mode=Mode.SHADOW),
]
SCOPED = [
    Rate("calls", MINUTE, per="user"),
    Quota("mine", per="user"),
    Allocation("desks", per="user"),
    Quota("tests", mode=Mode.SHADOW, per="user"),
]

parts = st.lists(
    st.tuples(
        st.sampled_from([*RATES, *COUNTED, *COUNTED, *SHADOW, *SCOPED, *SCOPED]),
        st.sampled_from([0, 3, 5, 8, 8, UNLIMITED]),
        st.sampled_from([1, 1, 1, 2, 9]),
    ),
    min_size=1, max_size=4, unique_by=lambda each: each[0].name,
)  # fmt: skip
moves = st.sampled_from([0, 0, 0, 1, SECOND, 2 * SECOND, 61 * SECOND, 40 * DAY, -SECOND, -2 * MINUTE])
acts = st.lists(
    st.tuples(moves, parts, st.sampled_from(["consume"] * 6 + ["reserve", "refund", "set"]), st.sampled_from([0, 0, 0, -40, 40])),
    max_size=40,
)  # fmt: skip


@given(acts)
def test_a_prepared_charge_is_what_the_law_says(acted):
    now, laws, homes, admitted = NOW, (Ledger(), Ledger()), (Ledger(), Ledger()), []
    for number, (move, wanted, verb, days) in enumerate(acted):
        now += move
        ends = month_ends(None, now + days * DAY)
        units = tuple(
            Part(limit, size, cost, None if isinstance(limit, Rate) else ends) for limit, size, cost in wanted
        )
        counted = any(not isinstance(part.limit, Rate) for part in units)
        scope = "ann" if any(part.limit.per for part in units) else None
        order = Charge(ACCOUNT, units, scope=scope, operation=sequence_id("0" * 16, number) if counted else None)
        law, prepared = laws if scope else (laws[0],) * 2, homes if scope else (homes[0],) * 2
        if verb == "consume":
            outcome, before = charge(*law, order, now), deepcopy(homes)
            takes = takes_of(order)
            found = charge_prepared(prepared, takes, now) if takes else None
            if found is None:
                assert before == homes
                found = charge(*prepared, order, now)
            assert outcome == found
            admitted += [(order, outcome)] * (outcome.status is Status.ADMITTED)
        else:
            other = {
                "reserve": Charge(ACCOUNT, units, Verb.RESERVE, scope, operation=f"o:{number}", ttl=2 * SECOND),
                "set": SetUsage(ACCOUNT, Part(COUNTED[number % 4], 8, number % 6, ends)),
                "refund": None,
            }[verb]
            if other is None and admitted:
                charged, outcome = admitted[number % len(admitted)]
                taken = tuple(zip(charged.parts, outcome.lines, strict=True))
                other = Refund(ACCOUNT, charged.operation, True, taken, charged.scope, charged_at=outcome.now)
                law, prepared = (laws, homes) if charged.scope else ((laws[0],) * 2, (homes[0],) * 2)
            if verb == "set":
                law, prepared = (laws[0],) * 2, (homes[0],) * 2
            if other is not None:
                assert execute_order(*law, other, now) == execute_order(*prepared, other, now)
        assert laws == homes
