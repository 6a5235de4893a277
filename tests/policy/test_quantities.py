"""Quantities are parsed exactly; an error has a problem and a cure."""

import pickle
from datetime import timedelta

import limits
import pytest
from deadlines import within_cpu_seconds
from hypothesis import given
from hypothesis import strategies as st

from entitlements.model.limits import NOT_INCLUDED, UNLIMITED, Allocation, Quota, Rate
from entitlements.policy.quantities import (
    RateSize,
    is_duration,
    parse_duration,
    parse_rate,
    parse_size,
    read_limit,
    window_in_words,
)

SECOND = 1_000_000
HOUR = 3600 * SECOND
API = Rate("api", window=HOUR)
WINDOWLESS = Rate("api")
LEADS = Quota("leads", unit="lead")
AGENTS = Allocation("agents", unit="agent")
STORAGE = Allocation("storage", unit="byte")

rates = st.builds(
    "{}{}{}{}{}".format,
    st.integers(0, 2**32 - 1),
    st.sampled_from(["/", " per ", " / ", "per", " PER  "]),
    st.one_of(st.just(""), st.integers(1, 29).map("{} ".format)),
    st.sampled_from(["second", "minute", "hour", "day", "Hour", "DAY"]),
    st.sampled_from(["", "s"]),
)


def refusals(text):
    """Return the errors of the three parsers for *text*."""
    for read in (parse_rate, parse_size, parse_duration):
        try:
            read(text)
        except ValueError as error:
            yield error


@given(rates)
def test_a_rate_is_what_the_limits_library_reads(text):
    """For texts of its grammar, amount and window equal those of `limits.parse`."""
    item = limits.parse(text)

    assert (item.amount, item.get_expiry() * SECOND) == parse_rate(text)


@given(st.one_of(st.text(), rates.flatmap(lambda rate: st.text(max_size=3).map(lambda more: rate + more))))
def test_reading_a_text_raises_nothing_but_value_errors(text):
    """Any text is parsed or refused."""
    with within_cpu_seconds():
        assert all("; " in said for said in map(str, refusals(text)))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("10,000 per hour", "write '10000 per hour'"),
        ("1 000 000/day", "write '1000000/day'"),
        ("100", "write '100 per hour'"),
        ("5 per month", "write a quota: kind: quota, its period"),
        ("5 per 30 days", "write a quota"),
        ("200/year", "write a quota: kind: quota, its period"),
        ("10 per week", "write '10 per 7 days'"),
        ("10/2 weeks", "write '10 per 14 days'"),
        ("5 per 0 hours", "is not a rate"),
        ("5 per 0 s", "is not a rate"),
        ("5 per 500ms", "the shortest window is a second"),
        ("5 per 30 d", "write a quota"),
        ("5 per hour; 10 per day", "is not a rate"),
        ("-5 per hour", "is not a rate"),
        ("1.5 per hour", "is not a rate"),
        ("4294967296 per hour", "above the largest rate, 4294967295"),
        ("9" * 5000 + " per hour", "is not a rate"),
        ("1" + " " * 100_000, "names no window"),
        ("", "is not a rate"),
    ],
)
def test_what_is_no_rate_says_what_to_write(text, says):
    """The message has the shortened value and the cure."""
    with pytest.raises(ValueError, match="; ") as error:
        parse_rate(text)

    assert says in str(error.value)
    assert len(str(error.value)) < 250


@pytest.mark.parametrize(("short", "word"), [("s", "second"), ("min", "minute"), ("h", "hour"), ("d", "day")])
@given(st.integers(1, 2**32 - 1), st.sampled_from(["/", " per "]), st.integers(1, 29), st.sampled_from(["", " "]))
def test_a_rate_reads_the_short_units_of_durations(short, word, amount, per, windows, blank):
    assert parse_rate(f"{amount}{per}{windows} {word}s") == parse_rate(f"{amount}{per}{windows}{blank}{short}")
    assert parse_rate(f"{amount}{per}{word}") == parse_rate(f"{amount}{per}{short}")


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0 B", 0),
        ("1 byte", 1),
        ("7 bytes", 7),
        ("1 kB", 1000),
        ("100 GB", 100 * 10**9),
        ("9 PB", 9 * 10**15),
        ("1 KiB", 1024),
        ("3 TiB", 3 * 2**40),
        ("0.5 GB", 5 * 10**8),
        ("1.5 KiB", 1536),
        ("10GB", 10**10),
    ],
)
def test_a_size_is_a_whole_number_of_bytes(text, size):
    """Powers of 1000, and of 1024 with an i."""
    assert size == parse_size(text)


@pytest.mark.parametrize(
    "text", ["0.3 KiB", "1.5 B", "1,5 GB", ".5 GB", "-1 GB", "10 gb", "10 KB", "10", "GB", "10 PB", " 1 B", "٣ GB"]
)
def test_what_is_no_size_is_refused(text):
    """A wrong case is not corrected: it may be another unit. A part of a byte is no size."""
    with pytest.raises(ValueError, match=r"GB|2\^53|whole number of bytes; write"):
        parse_size(text)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("0.5 B", "less than a byte; write a whole number of bytes, such as 1 B"),
        ("0.0001 kB", "less than a byte"),
        ("0.3 KiB", "write 307 B"),
    ],
)
def test_the_cure_of_a_part_of_a_byte_is_a_size(text, says):
    with pytest.raises(ValueError, match=says):
        parse_size(text)


@pytest.mark.parametrize(
    ("text", "duration"),
    [
        ("50 ms", timedelta(milliseconds=50)),
        ("1 millisecond", timedelta(milliseconds=1)),
        ("1 second", timedelta(seconds=1)),
        ("30 minutes", timedelta(minutes=30)),
        ("24 hours", timedelta(hours=24)),
        ("14 days", timedelta(days=14)),
        ("2 weeks", timedelta(weeks=2)),
        ("P14D", timedelta(days=14)),
        ("P2W", timedelta(weeks=2)),
        ("PT2H", timedelta(hours=2)),
        ("500ms", timedelta(milliseconds=500)),
        ("5 s", timedelta(seconds=5)),
        ("5s", timedelta(seconds=5)),
        ("30 min", timedelta(minutes=30)),
        ("2h", timedelta(hours=2)),
        ("14 d", timedelta(days=14)),
        ("0.5 s", timedelta(milliseconds=500)),
        ("1.5 hours", timedelta(minutes=90)),
        ("P1DT2H3M4S", timedelta(days=1, hours=2, minutes=3, seconds=4)),
    ],
)
def test_a_duration_is_written_in_words_or_in_iso_8601(text, duration):
    """Both forms are exact."""
    assert is_duration(text)
    assert duration == parse_duration(text)


@pytest.mark.parametrize("text", ["24hours", "5 m", "5 S", "1,5 h", "P", "PT", "P1", "p14d", "8am-8pm", "½ days"])
def test_other_texts_are_no_durations(text):
    """`m` may be minutes or months, and is no symbol here."""
    assert not is_duration(text)
    with pytest.raises(ValueError, match="14 days"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("P1M", "write days"),
        ("P1Y", "write days"),
        ("99999999999 weeks", "shorter"),
        ("0.0000001 s", "write fewer decimals"),
    ],
)
def test_a_duration_without_a_fixed_length_is_refused(text, says):
    """Months and years have none; others are too long, or too exact, for a timedelta."""
    assert is_duration(text)
    with pytest.raises(ValueError, match=says):
        parse_duration(text)


@pytest.mark.parametrize(
    ("limit", "raw", "size"),
    [
        (API, "100 per hour", 100),
        (API, "100 per 60 minutes", 100),
        (API, "0 per hour", 0),
        (API, 0, 0),
        (API, "unlimited", UNLIMITED),
        (API, UNLIMITED, UNLIMITED),
        (API, "not-included", NOT_INCLUDED),
        (API, NOT_INCLUDED, NOT_INCLUDED),
        (WINDOWLESS, UNLIMITED, UNLIMITED),
        (WINDOWLESS, 0, 0),
        (LEADS, 5000, 5000),
        (LEADS, "5000", 5000),
        (LEADS, 2**53 - 1, 2**53 - 1),
        (AGENTS, 0, 0),
        (STORAGE, "10 GB", 10**10),
        (STORAGE, 10, 10),
        (STORAGE, "10", 10),
    ],
)
def test_a_limit_reads_what_a_policy_writes(limit, raw, size):
    """Sizes, words and parsed values."""
    assert size == read_limit(limit, raw)
    assert type(size) is type(read_limit(limit, raw))


@pytest.mark.parametrize(
    ("limit", "raw", "says"),
    [
        (API, 100, "write '100 per hour'"),
        (API, "100", "write '100 per hour'"),
        (API, "100 per minute", "write it per hour"),
        (API, "10 GB", "is not a rate"),
        (WINDOWLESS, "100 per hour", "the policy names none for api"),
        (LEADS, "100 per hour", "is a quota"),
        (AGENTS, "100/hour", "an allocation"),
        (LEADS, "10 GB", "leads has unit 'lead'; write a whole number, or let the limit say unit: byte"),
        (Quota("storage", unit="bytes"), "5 GB", "storage has unit 'bytes'; did you mean 'byte'?"),
        (LEADS, "100,000", "write 100000"),
        (LEADS, "Unlimited", "did you mean 'unlimited'?"),
        (LEADS, 1.0, "is not a whole number"),
        (LEADS, True, "is not a whole number"),
        (LEADS, None, "nothing is written"),
        (LEADS, -1, "write unlimited, 0 or not-included"),
        (LEADS, 2**53, "above the largest count"),
        pytest.param(LEADS, 10**5000, "above the largest count", id="many-digits"),
        (STORAGE, "10 gb", "'100 GB'"),
        (STORAGE, "100 PB", "above the largest count"),
        (LEADS, [5], "is not a whole number"),
    ],
)
def test_a_limit_refuses_what_a_policy_cannot_mean(limit, raw, says):
    """The cure depends on the kind of the limit."""
    with pytest.raises(ValueError, match="; ") as error:
        read_limit(limit, raw)

    assert says in str(error.value)


def test_a_size_that_was_read_can_be_read_again():
    """A rate's size has its window, so that a policy with another window refuses it."""
    size = pickle.loads(pickle.dumps(RateSize(7, HOUR)))  # noqa: S301

    assert (7, HOUR) == (size, size.window)
    assert 7 == read_limit(API, size)
    with pytest.raises(ValueError, match="per minute"):
        read_limit(Rate("api", window=60 * SECOND), size)


@pytest.mark.parametrize(
    ("window", "words"),
    [(SECOND, "second"), (90 * SECOND, "90 seconds"), (120 * SECOND, "2 minutes"), (HOUR, "hour"), (24 * HOUR, "day")],
)
def test_a_window_reads_as_a_rate_writes_it(window, words):
    """The largest unit that divides it."""
    assert words == window_in_words(window)
