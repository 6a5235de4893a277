"""A decision about several limits is that of the part that decides: the longest wait, or the smallest share left."""

from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from entitlements import UNLIMITED, Reason
from entitlements.model.answers import Line
from entitlements.model.decision import Decision
from entitlements.model.decision_fields import facts_of, fields_of, line_of, parts_of
from entitlements.model.facts import Facts, Receipt
from entitlements.model.instants import MINUTE
from entitlements.model.limits import Mode, Rate
from entitlements.rules.whole_decisions import wait_of, whole_decision

NOW = 1_000


def part(reason, *, size=10, line=None, shadow=False):
    limit = Rate("api", MINUTE, mode=Mode.SHADOW if shadow else Mode.ENFORCE)
    facts = Facts("1", "api", "pro", "tier:pro", (), reason, limit, size)
    allowed = reason in (Reason.WITHIN_LIMIT, Reason.OVERAGE, Reason.UNLIMITED)
    return Decision(allowed, reason, facts, Receipt("memory", NOW), line)


sizes = st.integers(1, 4)
counted = sizes.flatmap(
    lambda size: st.integers(0, size).map(lambda used: part(Reason.WITHIN_LIMIT, size=size, line=Line(True, used)))
)
beyond = sizes.map(lambda size: part(Reason.OVERAGE, size=size, line=Line(True, size + 1)))
unlimited = st.just(Line(True, 3)).map(lambda line: part(Reason.UNLIMITED, size=UNLIMITED, line=line))
uncounted = st.sampled_from([0, 5]).map(lambda size: part(Reason.WITHIN_LIMIT, size=size))
waits = st.none() | st.integers(NOW, NOW + 3)
refused = st.builds(
    lambda at, shadow: part(Reason.RATE_LIMITED, line=Line(False, 10, retry_at=at), shadow=shadow), waits, st.booleans()
)
static = st.booleans().map(lambda shadow: part(Reason.NEVER_FITS, size=0, shadow=shadow))


def share(decision):
    """Return the share of its limit that is left: all of one that has no share, less than none beyond it."""
    if decision.reason is Reason.OVERAGE:
        return Fraction(-1)
    has_share = isinstance(decision.remaining, int) and decision.limit and decision.limit is not UNLIMITED
    return Fraction(decision.remaining, decision.limit) if has_share else Fraction(1)


def facts(decision):
    return fields_of(decision)[1:5]


some = st.lists(counted | beyond | unlimited | uncounted | refused | static, min_size=1, max_size=5)


@given(some | st.lists(refused | static, min_size=1, max_size=3))
def test_the_deciding_part_is_that_of_the_longest_wait_or_of_the_smallest_share(parts):
    enforced = [each for each in parts if not each.allowed and facts_of(each).limit.mode is Mode.ENFORCE]
    found = whole_decision(parts)

    assert found.allowed is not bool(enforced)
    assert tuple(parts) == parts_of(found)
    if enforced:
        never = [each for each in enforced if each.retry_after is None]
        first = never[0] if never else max(enforced, key=lambda each: each.retry_after)
        assert facts(first) == facts(found)
    elif admitted := [each for each in parts if each.allowed]:
        by_store = sorted(admitted, key=lambda each: each.used is None)
        assert facts(min(by_store, key=share)) == facts(found)
    else:  # a shadow part that refuses alone
        assert (Reason.WITHIN_LIMIT, None, parts[0].used) == (found.reason, found.retry_after, found.used)
        assert line_of(found) is None or line_of(found).fits


def test_of_two_refusals_the_longer_wait_counts_even_from_the_first_instant():
    waiting = [part(Reason.RATE_LIMITED, line=Line(False, 10, retry_at=at)) for at in (0, 1)]

    assert sorted(map(wait_of, [part(Reason.NEVER_FITS), *waiting])) == [(False, 0), (False, 1), (True, 0)]
    assert facts(waiting[1]) == facts(whole_decision(waiting))
