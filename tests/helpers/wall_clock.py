"""A slow calendar: the clocks of a time zone as the offsets that they had, and days walked one by one."""

from calendar import monthrange
from datetime import UTC, datetime, time, timedelta
from functools import cache
from zoneinfo import ZoneInfo

from entitlements.model.instants import to_instant

FIRST, LAST = datetime(1997, 1, 1, tzinfo=UTC), datetime(2028, 1, 1, tzinfo=UTC)
DAY, HOUR, SECOND = timedelta(days=1), timedelta(hours=1), timedelta(seconds=1)


def offset(zone, moment):
    return moment.astimezone(zone).utcoffset()


@cache
def offsets(name):
    """Return the spans of UTC in which a time zone had one offset, found by looking at every day, hour and second."""
    zone, spans, since = ZoneInfo(name), [], FIRST
    moment = FIRST
    while moment < LAST:
        for step, count in ((DAY, 1), (HOUR, 24), (SECOND, 3600)):
            found = next(
                (
                    at
                    for at in range(count)
                    if offset(zone, moment + step * at) != offset(zone, moment + step * (at + 1))
                ),
                None,
            )
            if found is None:
                moment += step * count
                break
            moment += step * found
        else:
            moment += SECOND
            spans.append((since, moment, offset(zone, moment - SECOND)))
            since = moment
    return [*spans, (since, LAST, offset(zone, since))]


def first_shown(name, walls):
    """Yield for each of some times, in their order, the first instant at which the clocks show it or a later one."""
    spans = iter(offsets(name))
    since, until, away = next(spans)
    for wall in walls:
        while wall.replace(tzinfo=UTC) - away >= until:
            since, until, away = next(spans)
        yield max(since, wall.replace(tzinfo=UTC) - away)


def begins(length, day, anchor):
    """Return whether a period begins on a day; *anchor* is the local time at which one began."""
    last = day.day == monthrange(day.year, day.month)[1]
    on_day = day.day == anchor.day or (last and day.day < anchor.day)
    return {
        "day": True,
        "week": day.isoweekday() == 1,
        "month": on_day,
        "year": on_day and day.month == anchor.month,
    }[length]


@cache
def boundaries(name, length, anchor):
    """Return the instants at which periods begin, in microseconds, by walking from day to day."""
    at = time() if length in ("day", "week") else anchor.time()
    days = (FIRST.date() + DAY * number for number in range(2, (LAST - FIRST).days - 2))
    walls = (datetime.combine(day, at) for day in days if begins(length, day, anchor))
    return sorted({to_instant(found) for found in first_shown(name, walls)})
