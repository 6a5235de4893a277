"""The tier in force, of scheduled changes and a trial, is the one that a plain reading of the calendar gives."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from entitlements import Account, Change, Policy, Trial
from entitlements.model.instants import to_instant
from entitlements.model.reasons import Verdict
from entitlements.rules.tiers import considered_tiers
from entitlements.rules.validity import format_span, span_verdict

START = datetime(2026, 11, 2, 15, 30, tzinfo=UTC)
RANKS = {"free": 1, "pro": 2, "plus": 2, "max": 3}
POLICY = Policy.parse({
    "policy": {"version": "1"},
    "tiers": {**{name: {"rank": rank} for name, rank in RANKS.items()}, "edge": {"rank": 9, "line": "other"}},
})  # fmt: skip

tiers = st.sampled_from([*RANKS, "edge", "gone"])
moments = st.integers(-3, 3).map(lambda hours: START + timedelta(hours=hours))
trials = st.builds(Trial, tiers, st.none(), moments) | st.tuples(tiers, moments, st.integers(1, 3)).map(
    lambda each: Trial(each[0], each[1], each[1] + timedelta(hours=each[2]))
)
changes = st.dictionaries(moments, tiers, max_size=4)


@given(tier=tiers, changes=changes, trial=st.none() | trials)
def test_the_first_is_in_force_and_the_others_have_lost_passed_or_not_begun(tier, changes, trial):
    account = Account("acme", tier, trial=trial, changes=tuple(Change(each, at=at) for at, each in changes.items()))
    past = [tier, *(changes[at] for at in sorted(changes) if at <= START)]
    ahead = [changes[at] for at in sorted(changes) if at > START]
    own = past[-1] if past[-1] in POLICY.tiers else None
    expected = [
        (past[-1], "won"),
        *((each, "expired") for each in past[-2::-1]),
        *((each, "not-started") for each in ahead),
    ]
    edges = [at for at in changes if at > START]
    if trial and trial.tier in POLICY.tiers:
        edges += [at for at in (trial.starts, trial.ends) if at and at > START]
        fits = own is None or (POLICY.tiers[own].line == POLICY.tiers[trial.tier].line
                               and POLICY.tiers[trial.tier].rank >= POLICY.tiers[own].rank)  # fmt: skip
        if trial.starts and trial.starts > START:
            expected.append((trial.tier, "not-started"))
        elif trial.ends <= START:
            expected.append((trial.tier, "expired"))
        elif not fits:
            expected.append((trial.tier, "lost"))
        else:
            expected = [(trial.tier, "won"), *((each, "lost" if verdict == "won" else verdict) for each, verdict in expected)]  # fmt: skip
    found_edges = []
    found = considered_tiers(POLICY, account, to_instant(START), found_edges)

    assert [(each, verdict) for each, verdict in expected if each in POLICY.tiers] == [(each.tier.id, each.verdict) for each in found]  # fmt: skip
    assert sorted(map(to_instant, edges)) == sorted(found_edges)


def test_a_span_holds_its_start_and_not_its_end_and_is_told_in_words():
    hour, now = timedelta(hours=1), to_instant(START)
    for starts, ends, verdict, ahead, text in [
        (None, None, None, [], ""),
        (START, None, None, [], "from 2026-11-02 15:30 UTC"),
        (START + hour, None, Verdict.NOT_STARTED, [START + hour], "from 2026-11-02 16:30 UTC"),
        (None, START, Verdict.EXPIRED, [], "until 2026-11-02 15:30 UTC"),
        (START, START + hour, None, [START + hour], "from 2026-11-02 15:30 UTC until 2026-11-02 16:30 UTC"),
    ]:
        edges = []
        assert verdict is span_verdict(starts, ends, now, edges)
        assert list(map(to_instant, ahead)) == edges
        assert text == format_span(starts, ends)
