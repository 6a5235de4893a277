"""Rate meters keep their guarantees for any costs, sizes, windows and clocks."""

from copy import deepcopy
from fractions import Fraction
from heapq import heappop, heappush
from math import ceil

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import (
    LARGEST_RATE,
    NOW,
    History,
    costs,
    first_fit,
    fullest,
    histories,
    instants,
    rates,
    sizes,
    width_of,
    windows,
)

from entitlements.model.answers import Line
from entitlements.model.instants import DAY, HOUR, MINUTE, SECOND
from entitlements.model.limits import Algorithm, Rate
from entitlements.rules.meters import LOWS, Fixed, RateMeter, Sliding, TokenBucket, meter_of, new_meter

every_algorithm = pytest.mark.parametrize("algorithm", list(Algorithm), ids=str)

Log = list[tuple[int, int]]
"""Admitted charges as (instant, units)."""


def guaranteed_maximum(rate: Rate, size: int) -> int:
    """Return the largest total that any window may hold."""
    match rate.algorithm:
        case Algorithm.SLIDING:
            return size
        case Algorithm.FIXED:
            return 2 * size
        case Algorithm.TOKEN_BUCKET:
            return (rate.burst or size) + size


def charge(meter: RateMeter, rate: Rate, size: int, cost: int, now: int) -> tuple[int, Line] | None:
    """Take *cost* units if they fit, or for 0 all units left; return the units and the line, or None."""
    if not cost:
        cost = max(1, (rate.burst or size) - meter.peek(size, 1, now).used)
    if not meter.peek(size, cost, now).fits:
        return None
    return cost, meter.take(size, cost, now)


def play(history: History) -> tuple[RateMeter, Log]:
    """Return a new meter charged with a history, and its log."""
    meter, log = new_meter(history.rate), []
    for now, cost in history.asks:
        if taken := charge(meter, history.rate, history.size, cost, now):
            log.append((now, taken[0]))
    return meter, log


def play_to_nonempty(history: History) -> tuple[RateMeter, Log]:
    """Return a meter as `play`, with at least one unit counted at the end."""
    meter, log = play(history)
    now = history.asks[-1].now
    if not meter.peek(history.size, 1, now).used:
        meter.take(history.size, 1, now)
        log.append((now, 1))
    return meter, log


# --- How much -----------------------------------------------------------------------------------------------------


@every_algorithm
@given(data=st.data())
def test_no_window_ever_holds_more_than_is_promised(algorithm, data):
    history = data.draw(histories(algorithm))

    _, log = play(history)

    assert fullest(log, history.rate.window) <= guaranteed_maximum(history.rate, history.size)


@given(histories(Algorithm.SLIDING))
def test_sliding_counts_the_61_buckets_that_end_with_the_present_one(history):
    width = width_of(history.rate.window)
    meter, log = new_meter(history.rate), []

    for now, cost in history.asks:
        expected = sum(units for at, units in log if now // width - at // width <= 60)
        assert expected == meter.peek(history.size, 1, now).used
        if taken := charge(meter, history.rate, history.size, cost, now):
            log.append((now, taken[0]))


@given(histories(Algorithm.FIXED))
def test_fixed_counts_what_was_taken_in_the_present_window_of_the_clock(history):
    window = history.rate.window
    meter, log = new_meter(history.rate), []

    for now, cost in history.asks:
        expected = sum(units for at, units in log if at // window == now // window)
        assert expected == meter.peek(history.size, 1, now).used
        if taken := charge(meter, history.rate, history.size, cost, now):
            log.append((now, taken[0]))


@given(histories(Algorithm.TOKEN_BUCKET))
def test_a_token_bucket_refills_by_its_limit_in_each_window(history):
    meter, tokens, before = new_meter(history.rate), Fraction(history.capacity), history.asks[0].now

    for now, cost in history.asks:
        refill = Fraction(history.size * (now - before), history.rate.window)
        tokens, before = min(Fraction(history.capacity), tokens + refill), now
        assert ceil(history.capacity - tokens) == meter.peek(history.size, 1, now).used
        if taken := charge(meter, history.rate, history.size, cost, now):
            tokens -= taken[0]
        assert tokens >= 0


@every_algorithm
@given(data=st.data())
def test_exactly_what_is_left_fits(algorithm, data):
    history = data.draw(histories(algorithm))
    meter, _ = play(history)
    now = data.draw(st.integers(history.asks[-1].now, history.asks[-1].now + history.rate.window))

    left = history.capacity - meter.peek(history.size, 1, now).used

    assert not meter.peek(history.size, left + 1, now).fits
    assert left == 0 or meter.peek(history.size, left, now).fits


@every_algorithm
def test_the_largest_rate_fits_at_once_and_nothing_above_it_ever(algorithm):
    meter = new_meter(Rate("api", 28 * DAY, algorithm))

    assert Line(fits=False, used=0, retry_at=None) == meter.peek(LARGEST_RATE, 2**32, NOW)._replace(
        resets_at=None, mark=0
    )
    assert meter.peek(LARGEST_RATE, LARGEST_RATE, NOW).fits


def test_a_burst_late_in_its_bucket_still_counts_when_its_window_ends():
    meter = Sliding(MINUTE)
    last_of_its_bucket = NOW // SECOND * SECOND + SECOND - 1
    meter.take(10, 10, last_of_its_bucket)

    assert not meter.peek(10, 1, last_of_its_bucket + MINUTE).fits
    assert meter.peek(10, 1, last_of_its_bucket + MINUTE + 1).fits


# --- When ---------------------------------------------------------------------------------------------------------


@every_algorithm
@given(data=st.data())
def test_nothing_is_admitted_before_retry_at_and_it_is_at_it(algorithm, data):
    history = data.draw(histories(algorithm))
    meter, _ = play_to_nonempty(history)
    now = history.asks[-1].now
    left = history.capacity - meter.peek(history.size, 1, now).used
    cost = data.draw(st.sampled_from([left + 1, history.capacity]) | st.integers(left + 1, history.capacity))
    refused = meter.peek(history.size, cost, now)

    between = data.draw(st.integers(now, refused.retry_at - 1))

    assert not refused.fits
    assert not meter.peek(history.size, cost, between).fits
    assert not meter.peek(history.size, cost, refused.retry_at - 1).fits
    assert meter.peek(history.size, cost, refused.retry_at).fits


@every_algorithm
@given(data=st.data())
def test_a_charge_has_a_retry_at_unless_it_fits_now_or_never(algorithm, data):
    history = data.draw(histories(algorithm))
    meter, _ = play(history)
    cost = data.draw(costs(history.capacity)) or 1

    asked = meter.peek(history.size, cost, history.asks[-1].now)

    assert (asked.retry_at is None) == (asked.fits or cost > history.capacity)


@every_algorithm
@given(data=st.data())
def test_everything_is_available_at_resets_at_and_not_before(algorithm, data):
    history = data.draw(histories(algorithm))
    meter, _ = play_to_nonempty(history)
    asked = meter.peek(history.size, 1, history.asks[-1].now)

    assert not meter.peek(history.size, history.capacity, asked.resets_at - 1).fits
    assert meter.peek(history.size, history.capacity, asked.resets_at).fits


@pytest.mark.parametrize("algorithm", [Algorithm.SLIDING, Algorithm.TOKEN_BUCKET], ids=str)
@given(data=st.data())
def test_what_was_never_spent_is_available_now(algorithm, data):
    rate, size, now = data.draw(rates(algorithm)), data.draw(sizes), data.draw(st.integers(NOW, NOW + DAY))

    assert now == new_meter(rate).peek(size, 1, now).resets_at


def latest_return(window: int) -> int:
    """Return the length of a bucket, plus the excess of 60 buckets over a window that 60 does not divide."""
    width = width_of(window)
    return width + (60 * width - window)


@given(data=st.data())
def test_units_come_back_at_most_one_bucket_late(data):
    window = data.draw(st.integers(1, 28 * DAY // 60)) * 60
    history = data.draw(histories(Algorithm.SLIDING, window=st.just(window)))
    meter, log = play(history)
    cost = data.draw(st.sampled_from([1, history.size]) | st.integers(1, history.size))
    now = data.draw(st.integers(history.asks[-1].now, history.asks[-1].now + 2 * window))

    exact = first_fit(log, window, history.size, cost, now)

    assert meter.peek(history.size, cost, exact + width_of(window)).fits


@given(data=st.data())
def test_units_of_a_window_that_60_does_not_divide_come_back_less_than_60_microseconds_later_still(data):
    history = data.draw(histories(Algorithm.SLIDING))
    window = history.rate.window
    meter, log = play(history)
    now = data.draw(st.integers(history.asks[-1].now, history.asks[-1].now + 2 * window))

    exact = first_fit(log, window, history.size, history.size, now)

    assert latest_return(window) < width_of(window) + 60
    assert meter.peek(history.size, history.size, exact + latest_return(window)).fits


@every_algorithm
@given(data=st.data())
def test_a_meter_is_as_a_new_one_from_idle_at_on_and_not_before(algorithm, data):
    history = data.draw(histories(algorithm))
    meter, _ = play_to_nonempty(history)
    later = data.draw(st.integers(meter.idle_at(), meter.idle_at() + 2 * history.rate.window))

    assert meter.peek(history.size, 1, meter.idle_at() - 1).used > 0
    for now in (meter.idle_at(), later):
        assert new_meter(history.rate).peek(history.size, 1, now) == meter.peek(history.size, 1, now)


@every_algorithm
def test_a_new_meter_is_idle(algorithm):
    assert new_meter(Rate("api", HOUR, algorithm)).idle_at() <= 0


# --- Asking and taking --------------------------------------------------------------------------------------------


@every_algorithm
@given(data=st.data())
def test_asking_writes_nothing(algorithm, data):
    history = data.draw(histories(algorithm))
    meter, _ = play(history)
    before = deepcopy(meter)

    for now in data.draw(st.lists(instants(history.rate.window), min_size=1, max_size=5)):
        meter.peek(history.size, data.draw(costs(history.capacity)) or 1, now)

    assert before == meter


@every_algorithm
@given(data=st.data())
def test_taking_adds_its_cost_to_what_asking_saw(algorithm, data):
    history = data.draw(histories(algorithm))
    meter, _ = play(history)
    now = data.draw(st.integers(history.asks[-1].now, history.asks[-1].now + history.rate.window))
    before = meter.peek(history.size, 1, now).used
    if before >= history.capacity:
        now, before = meter.idle_at(), 0
    cost = data.draw(st.integers(1, history.capacity - before))

    taken = meter.take(history.size, cost, now)

    assert (True, None, cost) == (taken.fits, taken.retry_at, taken.taken)
    assert before + cost == taken.used
    assert taken._replace(taken=0) == meter.peek(history.size, 1, now)._replace(fits=True, retry_at=None)


@every_algorithm
@given(data=st.data())
def test_spending_takes_what_asking_lets_through_and_nothing_else(algorithm, data):
    history = data.draw(histories(algorithm))
    meter, other = new_meter(history.rate), new_meter(history.rate)

    for now, cost in history.asks:
        asked = other.peek(history.size, cost or 1, now)
        expected = other.take(history.size, cost or 1, now) if asked.fits else asked
        assert expected == meter.try_take(history.size, cost or 1, now)
        assert other == meter


START = NOW // MINUTE * MINUTE
LINES = {
    Algorithm.SLIDING: [
        Line(True, 4, 0, None, START + 62 * SECOND, START + SECOND, 4),
        Line(False, 4, 0, START + 62 * SECOND, START + 62 * SECOND, START + 10 * SECOND),
        Line(True, 0, 0, None, START + 62 * SECOND, START + 62 * SECOND),
    ],
    Algorithm.FIXED: [
        Line(True, 4, 0, None, START + MINUTE, START, 4),
        Line(False, 4, 0, START + MINUTE, START + MINUTE, START),
        Line(True, 0, 0, None, START + 2 * MINUTE, START + MINUTE),
    ],
    Algorithm.TOKEN_BUCKET: [
        Line(True, 4, 0, None, START + 25_500_000, START + 1_500_000, 4),
        Line(False, 3, 0, START + 25_500_000, START + 25_500_000, START + 10 * SECOND),
        Line(True, 0, 0, None, START + 25_500_000, START + 25_500_000),
    ],
}
"""Of each algorithm, the lines of a charge, of a refusal after it, and of an empty meter."""


@pytest.mark.parametrize(("algorithm", "expected"), LINES.items(), ids=str)
def test_a_line_says_when_it_was_counted_when_it_fits_and_when_all_is_back(algorithm, expected):
    meter = new_meter(Rate("api", MINUTE, algorithm))
    charged = meter.take(10, 4, START + 1_500_000)

    assert expected == [charged, meter.peek(10, 10, START + 10 * SECOND), meter.peek(10, 10, charged.resets_at)]
    assert meter.peek(10, 11, START + 10 * SECOND).retry_at is None
    assert 0 == meter.refund(10, 4, charged.mark, charged.resets_at)


def test_a_token_bucket_that_lacks_a_part_of_a_token_says_when_it_has_it():
    meter = TokenBucket(MINUTE)
    full_at = meter.take(1, 1, NOW).resets_at

    assert full_at == meter.peek(1, 1, full_at - 1).retry_at


@given(st.data())
def test_an_answer_of_a_sliding_window_does_not_depend_on_earlier_questions(data):
    meter = Sliding(MINUTE)
    for at, cost in ((0, 2), (3, 3)):
        meter.take(8, cost, START + at * SECOND)
    unasked = deepcopy(meter)
    asks = st.tuples(
        st.sampled_from([5, 8]), st.sampled_from([1, 4, 5]), st.sampled_from([3, 4, 61, 64]), st.integers(0, 1)
    )

    for size, cost, second, microsecond in data.draw(st.lists(asks, min_size=2, max_size=8)):
        now = START + second * SECOND + microsecond
        assert deepcopy(unasked).peek(size, cost, now) == meter.peek(size, cost, now)


@every_algorithm
def test_the_meter_of_a_rate_is_kept_and_follows_its_burst(algorithm):
    def rate(burst: int) -> Rate:
        return Rate("api", MINUTE, algorithm, burst if algorithm is Algorithm.TOKEN_BUCKET else None)

    first = meter_of({}, rate(10))
    first.take(10, 10, NOW)
    again = meter_of({rate(25).meter_name: first}, rate(25))

    assert first is again
    assert (algorithm is Algorithm.TOKEN_BUCKET) == again.peek(10, 15, NOW).fits


# --- A clock that goes back ---------------------------------------------------------------------------------------


@every_algorithm
@given(data=st.data())
def test_a_step_back_of_up_to_a_window_is_as_if_the_clock_stood_still(algorithm, data):
    history = data.draw(histories(algorithm))
    meter, log = play_to_nonempty(history)
    (last, _), cost = log[-1], data.draw(costs(history.capacity)) or 1
    back = data.draw(st.integers(0, history.rate.window))

    assert meter.peek(history.size, cost, last) == meter.peek(history.size, cost, last - back)


@every_algorithm
@given(data=st.data())
def test_no_window_holds_more_when_the_clock_keeps_stepping_back(algorithm, data):
    history = data.draw(histories(algorithm))
    window, meter, log, latest = history.rate.window, new_meter(history.rate), [], 0
    back = data.draw(st.lists(st.sampled_from([0, 0, 1, window // 2, window]), min_size=20, max_size=20))

    for (now, cost), step in zip(history.asks, back, strict=False):
        if taken := charge(meter, history.rate, history.size, cost, now - step):
            latest = max(latest, now - step)  # a charge counts where the clock was furthest
            log.append((latest, taken[0]))

    assert fullest(log, window) <= guaranteed_maximum(history.rate, history.size)


@every_algorithm
def test_a_step_back_of_exactly_a_window_drops_nothing_and_one_microsecond_more_drops_all(algorithm):
    meter = new_meter(Rate("api", MINUTE, algorithm))
    on_the_minute = NOW // MINUTE * MINUTE
    meter.take(10, 10, on_the_minute)

    assert 10 == meter.peek(10, 1, on_the_minute - MINUTE).used
    assert 0 == meter.peek(10, 1, on_the_minute - MINUTE - 1).used


@every_algorithm
@given(data=st.data())
def test_after_a_longer_step_back_a_meter_starts_anew(algorithm, data):
    history = data.draw(histories(algorithm))
    window, size = history.rate.window, history.size
    meter, _ = play(history)
    back = data.draw(st.integers(6 * window + 2, 9 * window + 2))
    again = [(now - back, cost) for now, cost in history.asks]
    new, log = new_meter(history.rate), []

    assert new.peek(size, 1, again[0][0]) == meter.peek(size, 1, again[0][0])
    for now, cost in again:
        if taken := charge(meter, history.rate, size, cost, now):
            log.append((now, taken[0]))
            new.take(size, taken[0], now)
        assert new.peek(size, 1, now) == meter.peek(size, 1, now)
    assert fullest(log, window) <= guaranteed_maximum(history.rate, size)


# --- Giving back --------------------------------------------------------------------------------------------------


@every_algorithm
@given(data=st.data())
def test_no_window_holds_more_of_what_was_not_given_back(algorithm, data):
    history = data.draw(histories(algorithm))
    window, size, meter = history.rate.window, history.size, new_meter(history.rate)
    log, kept = [], []
    picks = data.draw(st.lists(st.integers(0, 3), min_size=20, max_size=20))

    for (now, cost), pick in zip(history.asks, picks, strict=False):
        if taken := charge(meter, history.rate, size, cost, now):
            log.append((now, taken[0]))
            kept.append((now, *taken))
        if pick and len(kept) >= pick:
            _, units, line = kept.pop(-pick)
            before = meter.peek(size, 1, now).used
            back = meter.refund(size, units, line.mark, now)
            assert 0 <= back <= units
            assert 0 <= meter.peek(size, 1, now).used <= before

    assert fullest([(at, units) for at, units, _ in kept], window) <= guaranteed_maximum(history.rate, size)
    assert fullest(log, window) >= fullest([(at, units) for at, units, _ in kept], window)


@every_algorithm
@given(data=st.data())
def test_what_is_given_back_at_once_was_never_taken(algorithm, data):
    history = data.draw(histories(algorithm))
    meter, _ = play(history)
    now = data.draw(st.integers(history.asks[-1].now, history.asks[-1].now + history.rate.window))
    before = meter.peek(history.size, 1, now)
    if before.used >= history.capacity:
        now, before = meter.idle_at(), meter.peek(history.size, 1, meter.idle_at())
    cost = data.draw(st.integers(1, history.capacity - before.used))

    back = meter.refund(history.size, cost, meter.take(history.size, cost, now).mark, now)

    assert (cost, before) == (back, meter.peek(history.size, 1, now))


@every_algorithm
@pytest.mark.parametrize("is_used", [False, True])
@pytest.mark.parametrize("later", [61 * SECOND, 2 * MINUTE, 2 * 61 * SECOND], ids=lambda later: f"{later // SECOND}s")
def test_what_has_left_every_window_cannot_be_given_back(algorithm, later, is_used):
    meter = new_meter(Rate("api", MINUTE, algorithm))
    old = meter.take(10, 10, NOW)
    if is_used:
        meter.take(10, 7, NOW + later)

    assert 0 == meter.refund(10, 10, old.mark, NOW + later)
    assert 7 * is_used == meter.peek(10, 1, NOW + later).used


@every_algorithm
@pytest.mark.parametrize("back", [HOUR, 61 * MINUTE], ids=lambda back: f"{back // MINUTE}min")
def test_what_was_dropped_with_the_clock_cannot_be_given_back(algorithm, back):
    meter = new_meter(Rate("api", MINUTE, algorithm))
    dropped = meter.take(10, 10, NOW)
    meter.take(10, 7, NOW - back)

    assert 0 == meter.refund(10, 10, dropped.mark, NOW - back)
    assert 7 == meter.peek(10, 1, NOW - back).used


@every_algorithm
def test_no_count_falls_below_zero_whatever_is_given_back(algorithm):
    meter = new_meter(Rate("api", MINUTE, algorithm))
    taken = meter.take(10, 4, NOW)

    assert [4, 0] == [meter.refund(10, 9, taken.mark, NOW) for _ in range(2)]
    assert 0 == meter.peek(10, 1, NOW).used
    assert not meter.peek(10, 11, NOW).fits


def test_a_token_bucket_gives_back_only_what_has_not_drained():
    meter = TokenBucket(MINUTE)
    taken = meter.take(60, 60, NOW)

    assert 40 == meter.refund(60, 60, taken.mark, NOW + 20 * SECOND)
    assert 0 == meter.peek(60, 1, NOW + 20 * SECOND).used


def test_a_token_bucket_drains_an_old_charge_by_a_limit_that_was_raised():
    meter = TokenBucket(MINUTE)
    old = meter.take(10, 10, NOW)
    meter.take(6000, 6000, NOW + SECOND)  # by now, the ten have drained at 100 a second

    assert 0 == meter.refund(10, 10, old.mark, NOW + SECOND)
    assert 6000 == meter.peek(6000, 1, NOW + SECOND).used


def test_a_token_bucket_takes_a_charge_back_whole_while_others_have_drained():
    meter = TokenBucket(MINUTE, burst=1000)
    taken = meter.take(1000, 1, NOW)
    meter.take(1000, 999, NOW)

    assert 1 == meter.refund(10, 1, taken.mark, NOW + 30 * SECOND)
    assert 499 == meter.peek(10, 1, NOW + 30 * SECOND).used  # drains as it was sold


@pytest.mark.parametrize("back", [0, 1, MINUTE])
def test_a_token_bucket_takes_back_the_same_after_a_step_back_of_up_to_a_window(back):
    meter = TokenBucket(MINUTE)
    old = meter.take(60, 20, NOW - 10 * SECOND)
    meter.take(60, 20, NOW)
    meter.take(60, 20, NOW - back)

    assert 10 == meter.refund(60, 20, old.mark, NOW - back)


def test_what_a_token_bucket_takes_back_has_drained_as_it_was_sold():
    meter = TokenBucket(MINUTE)
    taken = meter.take(60, 60, NOW)

    assert 40 == meter.refund(10, 60, taken.mark, NOW + 20 * SECOND)


Refunded = tuple[int, int, int | None]
"""A charge: microseconds since the one before it, its units, and how long after it it is refunded, if it is."""


def refunded_charges(most: int) -> st.SearchStrategy[list[Refunded]]:
    """Return charges of a bucket that drains one unit a second, some of them refunded."""
    gaps = st.sampled_from([0, 1, SECOND // 3, SECOND, 5 * SECOND]) | st.integers(0, 20 * SECOND)
    return st.lists(st.tuples(gaps, st.integers(1, 9), st.none() | gaps), min_size=1, max_size=most)


def play_refunds(charges: list[Refunded]) -> tuple[TokenBucket, TokenBucket, int]:
    """Return a bucket with charges and refunds in order of time, one without those that are refunded, and the end."""
    meter, expected, steps, now = TokenBucket(MINUTE, 10_000), TokenBucket(MINUTE, 10_000), [], NOW
    for number, (gap, cost, back_after) in enumerate(charges):
        now += gap
        heappush(steps, (now, 2 * number, cost, back_after))
    while steps:
        now, number, cost, back_after = heappop(steps)
        if number % 2:
            meter.refund(60, cost, back_after, now)
            continue
        mark = meter.take(60, cost, now).mark
        if back_after is None:
            expected.take(60, cost, now)
        else:
            heappush(steps, (now + back_after, number + 1, cost, mark))
    return meter, expected, now


@given(refunded_charges(3 * LOWS))
def test_refunded_charges_of_a_token_bucket_count_as_never_made_but_for_part_of_one_charge(charges):
    meter, expected, now = play_refunds(charges)

    kept, counted = expected.peek(60, 1, now).used, meter.peek(60, 1, now).used
    assert kept <= counted <= kept + 9  # the largest charge
    assert len(meter.lows) <= LOWS


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(1, 4), st.none() | st.integers(0, 9)), max_size=7))
def test_few_refunded_charges_of_a_token_bucket_count_exactly_as_never_made(charges):
    meter, expected, now = play_refunds([(gap * SECOND, cost, back and back * SECOND) for gap, cost, back in charges])

    assert expected.peek(60, 1, now) == meter.peek(60, 1, now)


def bucket_with(lows: list[int]) -> TokenBucket:
    """Return a token bucket whose backlog has had these lows, in tokens, a second apart; the last one is now."""
    at = [(NOW + second * SECOND, low * MINUTE) for second, low in enumerate(lows[:-1])]
    meter = TokenBucket(MINUTE, at=NOW + len(at) * SECOND, backlog=lows[-1] * MINUTE, lows=at)
    meter.take(1, 1, meter.at)
    return meter


@pytest.mark.parametrize(("low", "next_low", "kept"), [(32, 33, 2), (33, 34, 1), (64, 65, 1), (64, 66, 2)])
def test_a_low_within_a_thirty_second_of_the_one_before_it_is_merged_into_that(low, next_low, kept):
    meter = bucket_with([low, next_low])

    assert [(NOW, low * MINUTE), (NOW + SECOND, next_low * MINUTE)][:kept] == [
        (at if kept == 2 else at - SECOND, backlog) for at, backlog in meter.lows
    ]


@pytest.mark.parametrize(("large", "merged"), [(139, 3), (130, 8)])
def test_of_more_than_32_lows_the_two_that_are_closest_in_proportion_are_merged(large, merged):
    lows = [0, 1, 5, 6, 12, 24, 48, 96, *(large << each for each in range(25))]
    expected = [(NOW + second * SECOND, low * MINUTE) for second, low in enumerate(lows)]
    expected[merged - 1 : merged + 1] = [(expected[merged][0], expected[merged - 1][1])]

    assert expected == bucket_with(lows).lows


def test_a_refunded_charge_of_a_token_bucket_between_others_counts_as_never_made():
    meter, expected = TokenBucket(MINUTE), TokenBucket(MINUTE)
    lines = [meter.take(60, cost, NOW + at * SECOND) for at, cost in ((0, 5), (3, 20), (9, 7))]
    for at, cost in ((0, 5), (9, 7)):
        expected.take(60, cost, NOW + at * SECOND)

    assert 16 == meter.refund(60, 20, lines[1].mark, NOW + 10 * SECOND)
    assert expected.peek(60, 1, NOW + 10 * SECOND) == meter.peek(60, 1, NOW + 10 * SECOND)


@pytest.mark.parametrize(("flying", "lasts"), [(1, SECOND), (20, SECOND // 3), (40, SECOND // 10), (45, 2 * SECOND)])
def test_charges_that_are_all_refunded_never_use_a_token_bucket_up(flying, lasts):
    """A token bucket of 60 per minute counts failures only: nothing fails, and nothing is refused."""
    meter, now, number = TokenBucket(MINUTE), NOW, 0
    answers = []
    for _ in range(flying):
        number += 1
        heappush(answers, (now + number * 7919 % lasts, number, now))
        meter.take(60, 1, now)
    for _ in range(2_000):
        now, _, mark = heappop(answers)
        meter.refund(60, 1, mark, now)
        number += 1
        assert meter.peek(60, 1, now).fits
        heappush(answers, (now + lasts // 2 + number * 7919 % lasts, number, meter.take(60, 1, now).mark))


# --- A limit that changes -----------------------------------------------------------------------------------------


@every_algorithm
@given(data=st.data())
def test_a_limit_that_moves_up_and_down_holds_as_large_as_it_ever_was(algorithm, data):
    history = data.draw(histories(algorithm))
    moved = data.draw(st.lists(st.sampled_from([history.size, data.draw(sizes)]), min_size=20, max_size=20))
    meter, log = new_meter(history.rate), []

    for (now, cost), size in zip(history.asks, moved, strict=False):
        if taken := charge(meter, history.rate, size, cost, now):
            log.append((now, taken[0]))

    assert fullest(log, history.rate.window) <= max(guaranteed_maximum(history.rate, size) for size in moved)


@given(data=st.data())
def test_each_sliding_window_is_held_to_the_limit_of_its_last_charge(data):
    history = data.draw(histories(Algorithm.SLIDING))
    moved = data.draw(st.lists(st.sampled_from([history.size, data.draw(sizes)]), min_size=20, max_size=20))
    meter, log = new_meter(history.rate), []

    for (now, cost), size in zip(history.asks, moved, strict=False):
        if taken := charge(meter, history.rate, size, cost, now):
            log.append((now, taken[0]))
            assert sum(units for at, units in log if at >= now - history.rate.window) <= size


@every_algorithm
def test_a_limit_lowered_below_what_is_used_keeps_it_and_adds_nothing(algorithm):
    meter = new_meter(Rate("api", MINUTE, algorithm))
    meter.take(10, 10, NOW)

    lowered = meter.peek(4, 1, NOW)

    assert (False, 10) == (lowered.fits, lowered.used)
    assert not meter.peek(4, 1, lowered.retry_at - 1).fits
    assert meter.peek(4, 1, lowered.retry_at).fits


@every_algorithm
@given(data=st.data())
def test_a_limit_that_is_lowered_admits_nothing_before_retry_at_and_something_at_it(algorithm, data):
    history = data.draw(histories(algorithm))
    meter, _ = play_to_nonempty(history)
    size, now = data.draw(st.integers(1, history.size)), history.asks[-1].now
    capacity = history.rate.burst or size
    cost = data.draw(st.integers(1, capacity))
    lowered = meter.peek(size, cost, now)

    if not lowered.fits:
        assert not meter.peek(size, cost, lowered.retry_at - 1).fits
        assert meter.peek(size, cost, lowered.retry_at).fits
        assert lowered.retry_at <= meter.idle_at()  # a store may drop a meter that is idle


def test_a_token_bucket_that_is_lowered_is_free_within_a_window():
    meter = TokenBucket(MINUTE)
    meter.take(1000, 1000, NOW)

    assert meter.peek(10, 1, NOW).retry_at <= NOW + MINUTE


@every_algorithm
def test_a_limit_that_is_raised_admits_the_difference_at_once(algorithm):
    meter = new_meter(Rate("api", MINUTE, algorithm))
    meter.take(10, 10, NOW)

    assert not meter.peek(25, 16, NOW).fits
    assert meter.peek(25, 15, NOW).fits


def test_a_new_burst_counts_from_where_the_bucket_stands():
    meter = TokenBucket(MINUTE, burst=10)
    meter.take(1, 10, NOW)
    meter.burst = 25

    assert 15 == 25 - meter.peek(1, 15, NOW).used
    assert meter.peek(1, 15, NOW).fits
    assert not meter.peek(1, 16, NOW).fits


def test_the_edges_of_a_fixed_window_are_those_of_the_clock():
    meter = Fixed(HOUR)
    start = NOW // HOUR * HOUR
    taken = meter.take(5, 5, start + HOUR - 1)

    assert (start, start + HOUR) == (taken.mark, taken.resets_at)
    assert meter.peek(5, 5, start + HOUR).fits


@given(windows)
def test_sixty_sub_buckets_cover_a_window_of_any_length(window):
    assert Sliding(window).width == width_of(window)
    assert 0 <= 60 * Sliding(window).width - window < 60
