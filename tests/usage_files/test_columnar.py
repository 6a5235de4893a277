"""Usage files that DuckDB sorts: the months and the problems of each account are those of `read_usage`."""

import csv
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given, settings
from hypothesis import strategies as st

from entitlements import Policy
from entitlements.usage_files import read_usage
from entitlements.usage_files.columnar import open_table, sort_usage
from entitlements.usage_files.month_columns import by_column

ROOT = Path(__file__).resolve().parents[2]
POLICY = Policy.load(ROOT / "policies" / "customer-tiers")
HEADINGS = ["account", "month", "leads", "leads_denied", "leads_size", "agents", "storage_gb", "Note"]
BASE = ["acme", "bold", "Köln, GmbH", "x\u00a0y", "late "]
IDS = st.sampled_from([*BASE, "stranger", "other", "acme\t", "\u00a0bold", " acme", "", " "])
MONTHS = st.sampled_from(
    [
        "2026-10",
        "2026-09",
        "2026-08",
        "2026-09-15",
        "2026-09-01",
        "2026-13",
        "2026-02-30",
        "0000-01",
        "May",
        "",
        " 2026-07",
    ]
)
COUNTS = st.sampled_from(["", "0", "7", "120", "007", "1,234", "-5", "12.5", "many", " 9 ", "+3", "1e3", "99999999999"])
SIZES = st.sampled_from(["", "0.25", "1", "1234567", "0.1234567891", "-1", "2.", "1 GB"])
ROWS = st.tuples(IDS, MONTHS, COUNTS, COUNTS, COUNTS, COUNTS, SIZES, st.sampled_from(["", 'said "no"', "a;b"]))


def figures(columns):
    """Return what is known of each month: columns without a value, and their order, do not matter."""
    return [
        (day, {key: value[at] for key, value in columns.figures.items() if value[at] is not None})
        for at, day in enumerate(columns.days)
    ]


def sorted_usage(path, folder):
    """Return the months of every account by way of DuckDB, and all problems."""
    table = sort_usage(str(path), POLICY, [(id, at // 2) for at, id in enumerate(BASE)], folder)
    assert table is not None, "DuckDB does not read the file"
    months, problems = {}, [str(each) for each in table.rest]
    with open_table(table) as connection:
        for number in range(3):
            chunk = table.chunk(connection, number)
            months |= chunk.months
            problems += map(str, chunk.problems)
    return months, problems


@settings(max_examples=20, deadline=None)
@given(rows=st.lists(ROWS, min_size=5, max_size=40))
def test_every_month_and_problem_is_that_of_the_file_read_row_by_row(rows):
    with TemporaryDirectory() as name:
        path, folder = Path(name, "usage.csv"), Path(name, "sorted")
        folder.mkdir()
        with path.open("w", encoding="utf-8", newline="") as file:
            csv.writer(file, lineterminator="\n").writerows([HEADINGS, *rows])
        expected = read_usage(str(path), POLICY)
        months, problems = sorted_usage(path, folder)

    strangers = map(str, expected.strangers(BASE))
    assert {id: figures(by_column(each)) for id, each in expected.months.items() if id in BASE} == {
        id: figures(each) for id, each in months.items()
    }
    assert Counter([*map(str, expected.problems), *strangers]) == Counter(problems)
