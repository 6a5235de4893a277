"""Byte-preserving CSV files: unchanged cells keep their bytes in every dialect."""

import csv
import io

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from entitlements import Policy
from entitlements.accounts.csv.dialect import decode, read_rows
from entitlements.crm import WriteOptions, assign_base, choose_columns, read_layout, write
from entitlements.crm.layout import raw_cells
from entitlements.errors import AccountError
from entitlements.tiering.segmentation import measure_of

POLICY = Policy.parse(
    {
        "policy": {"version": "c1"},
        "tiers": {"low": {"rank": 1, "name": "Low; or free"}, "high": {"rank": 2, "name": 'The "High" one'}},
        "assignment": {
            "binding": "arr",
            "criteria": {"arr": {"kind": "amount", "attributes": ["Annual Value"], "least": 0}},
            "rules": [
                {"tier": "high", "when": {"arr": {"from": 100}}},
                {"tier": "low", "when": {"arr": {"below": 100}}},
            ],
        },
        "segmentations": {"share": {"share-of": "arr", "cuts": [{"tier": "high", "below": 50}, {"tier": "low"}]}},
    }
)
RULES = POLICY.assignment

# Characters of each encoding outside of ASCII; some are two bytes, the second in the range of ASCII ("ソ", "功").
SIGNS = {"utf-8": "é€日\u0301\u2028", "cp1252": "é€–", "cp1250": "łŐ", "cp1251": "Жук", "cp932": "ソ表", "big5": "功許"}


def tiered(data, *, by=None, encoding=None, separator=None, **options):
    """Return the file with its tiers, and what was found."""
    layout = read_layout("a.csv", data, encoding=encoding, separator=separator, wanted=("account_name", "arr", "tier"))
    assigned = assign_base(POLICY, layout, choose_columns(layout, RULES, measure_of(POLICY, by)), by=by)
    return b"".join(write(POLICY, assigned, WriteOptions(**options))), assigned


def rows_of(data, encoding, separator):
    text = decode("a.csv", data, encoding).text
    return list(csv.reader(io.StringIO(text, newline=""), delimiter=separator))


@st.composite
def exports(draw):
    """Return the bytes of an export, its encoding, its separator and its rows; some cells quoted without need."""
    encoding = draw(st.sampled_from(sorted(SIGNS)))
    separator = draw(st.sampled_from(",;\t"))
    end = draw(st.sampled_from(["\n", "\r\n", "\r"]))
    text = st.text(st.sampled_from('ab ",;\t\n\r=' + SIGNS[encoding]), max_size=6)
    amount = st.sampled_from(["", "5", "100", "$1,500", "-3", "many", "99.99"]) | st.integers(0, 500).map(str)
    width = draw(st.integers(0, 3))
    at = draw(st.integers(0, width))
    with_tier = draw(st.booleans())
    headings = [*(f"note {n}" for n in range(width)), "Account Name"]
    headings.insert(at, "ARR")
    if with_tier:
        headings.insert(draw(st.integers(0, len(headings))), "Tier")
    kinds = {"ARR": amount, "Tier": st.sampled_from(["", "high", "LOW", "Platinum"])}
    row = st.tuples(*(kinds.get(name, text) for name in headings))
    rows = draw(st.lists(row.filter(lambda cells: _is_more_than_a_tier(headings, cells)), max_size=6))
    blanks = draw(st.sampled_from(["", end, end + end]))
    lines = [separator.join(_written(draw, cell, separator) for cell in cells) for cells in (headings, *rows)]
    last = draw(st.sampled_from(["", end]))
    bom = b"\xef\xbb\xbf" if encoding == "utf-8" and draw(st.booleans()) else b""
    data = bom + (blanks + end.join(lines) + last).encode(encoding)
    return data, encoding, separator, headings


def _is_more_than_a_tier(headings, cells):
    """Leave out rows that hold a tier and nothing else: without it they are blank, which is another row."""
    said = {name: cell.strip() for name, cell in zip(headings, cells, strict=True)}
    return not said.get("Tier") or any(cell for name, cell in said.items() if name != "Tier")


def _written(draw, cell, separator):
    needed = any(sign in cell for sign in f'"{separator}\r\n')
    return '"' + cell.replace('"', '""') + '"' if needed or draw(st.booleans()) else cell


def raw_columns(data, encoding, separator):
    """Return the bytes of every cell of every row, cut out by a small machine of its own."""
    body = data.removeprefix(b"\xef\xbb\xbf").decode("latin-1")
    rows, cell, row, quoted, at = [], "", [], False, 0
    while at < len(body):
        sign = body[at]
        at += 1
        if sign == '"' and (quoted or not cell):
            quoted = not quoted
            if not quoted and body[at : at + 1] == '"':
                cell += '""'
                quoted, at = True, at + 1
                continue
            cell += sign
        elif sign == separator and not quoted:
            row, cell = [*row, cell], ""
        elif sign in "\r\n" and not quoted:
            at += body[at - 1 : at + 1] == "\r\n"
            rows, row, cell = [*rows, [*row, cell]], [], ""
        else:
            cell += sign
    return [*rows, [*row, cell]] if cell or row else rows


def said(cell):
    """Return the text of a cell without its quotes; a row of empty quotes is blank."""
    return cell[1:-1].replace('""', '"') if cell.startswith('"') else cell


@given(exports(), st.booleans(), st.booleans(), st.sampled_from([None, "share"]))
@example((b'ARR,Account Name\n,""', "utf-8", ",", ["ARR", "Account Name"]), False, False, None)
@example((b'ARR,Account Name\r\n5,"a"', "utf-8", ",", ["ARR", "Account Name"]), False, False, None)
def test_every_untouched_column_is_byte_for_byte_what_it_was(export, labels, explain, by):
    """And every row is there, in its order; the tier is in its column; what ends the lines ends them."""
    data, encoding, separator, headings = export
    out, _ = tiered(data, by=by, encoding=encoding, separator=separator, labels=labels, explain=explain)
    before, after = (raw_columns(each, encoding, separator) for each in (data, out))
    tier = headings.index("Tier") if "Tier" in headings else len(headings)

    assert len(before) == len(after)
    for old, new in zip(before, after, strict=True):
        if any(said(cell).strip() for cell in old):
            kept = [at for at in range(len(headings)) if at != tier]
            assert [old[at] for at in kept] == [new[at] for at in kept]
            assert len(new) == max(len(headings), tier + 1) + explain
        else:
            assert old == new
    assert data[:3] == b"\xef\xbb\xbf" or not out.startswith(b"\xef\xbb\xbf")
    for sign in (b"\r", b"\n"):
        assert (sign in data) or (sign not in out)


@given(exports(), st.sampled_from([None, "share"]))
def test_the_output_read_again_gives_the_same_tiers_and_the_same_bytes(export, by):
    data, encoding, separator, _ = export
    out, first = tiered(data, by=by, encoding=encoding, separator=separator)
    again, second = tiered(out, by=by, encoding=encoding, separator=separator)

    assert out == again
    assert [(each.line, each.tier, each.kept) for each in first.results.values()] == [
        (each.line, each.tier, each.kept) for each in second.results.values()
    ]
    cells = rows_of(out, encoding, separator)
    column = next(row for row in cells if any(map(str.strip, row))).index("Tier")
    said = [row[column] for row in cells if any(map(str.strip, row))][1:]
    assert [each.before if each.kept else each.tier or "" for each in first.results.values()] == said


@given(exports())
def test_sorting_moves_rows_and_loses_none(export):
    data, encoding, separator, _ = export
    plain, assigned = tiered(data, encoding=encoding, separator=separator)
    out, _ = tiered(data, encoding=encoding, separator=separator, sort=True)
    rows, sorted_rows = (raw_columns(each, encoding, separator) for each in (plain, out))
    head = next(at for at, row in enumerate(rows) if any(cell.strip() for cell in row))
    order = {"high": 0, "low": 1, None: 2}
    tiers = [order[each.tier] for each in sorted(assigned.results.values(), key=lambda each: order[each.tier])]

    assert rows[: head + 1] == sorted_rows[: head + 1]
    assert sorted(rows[head + 1 :]) == sorted(sorted_rows[head + 1 :])
    _, found = tiered(out, encoding=encoding, separator=separator)
    assert tiers == [order[each.tier] for each in found.results.values()]


@given(exports())
def test_the_same_rows_and_cells_are_found_as_by_the_reader_of_accounts(export):
    data, encoding, separator, _ = export
    layout = read_layout("a.csv", data, encoding=encoding, separator=separator)
    text = decode("a.csv", data, encoding).text
    found = [(layout.headings.line, list(layout.names))]
    found += [(each.line, list(map(layout.text, each.cells))) for each in layout.records()]

    assert list(read_rows("a.csv", text, separator)) == [row for row in found if any(map(str.strip, row[1]))]


@given(exports())
def test_a_row_is_the_cells_that_it_is_cut_into(export):
    data, encoding, separator, _ = export
    layout = read_layout("a.csv", data, encoding=encoding, separator=separator)

    for record in layout.records():
        if record.cells:
            assert len(record.cells) == len(raw_cells(record, layout.separator))
            assert record.raw.startswith(separator.join(raw_cells(record, layout.separator)))


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1252"])
def test_encoding_and_separator_are_found_out(separator, encoding):
    text = f'Account Name{separator}ARR{separator}City\r\n"Café {separator}"{separator}$1,500{separator}x\r\n'
    out, assigned = tiered(text.replace("$1,500", '"$1,500"').encode(encoding))

    assert ["high"] == [each.tier for each in assigned.results.values()]
    assert out.decode(encoding).endswith(f"{separator}high\r\n")


def test_headings_with_a_foreign_separator_do_not_mislead():
    """`Umsatz, netto` is one heading where every row below has semicolons."""
    _, assigned = tiered(b"Kunde, Name;ARR\nA;5\nB;700\n")

    assert ";" == assigned.layout.separator


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("ARR\n5\n", "ARR,Tier\n5,low\n"),
        ('"ARR","x"\n"5","y"\n', '"ARR","x","Tier"\n"5","y","low"\n'),
        ("ARR,x\n5\n", "ARR,x,Tier\n5,,low\n"),
        ("ARR,x\n5,y,,\n", "ARR,x,Tier\n5,y,low,\n"),
        ("ARR,x\n5,y,z\n", "ARR,x,Tier\n5,y,,z\n"),
        ("Tier,ARR\n,5\n", "Tier,ARR\nlow,5\n"),
        ("Tier,ARR\n low ,5\n", "Tier,ARR\nlow,5\n"),
        ('"Tier",ARR\n"low",5\n', '"Tier",ARR\n"low",5\n'),
        ("Tier,ARR\nPlatinum,5\n", "Tier,ARR\nPlatinum,5\n"),
        ("Tier,ARR\nhigh,\n", "Tier,ARR\n,\n"),
        ("ARR\n5", "ARR,Tier\n5,low"),
        ("\n\nARR\n\n5\n", "\n\nARR,Tier\n\n5,low\n"),
        ("ARR", "ARR,Tier"),
    ],
)
def test_small_files(text, written):
    """Quoted headings get quoted tiers; a short row is extended; an unknown tier is kept."""
    assert written == tiered(text.encode(), separator=",")[0].decode()


def test_names_are_written_as_a_csv_wants_them():
    out, _ = tiered(b"ARR;x\n5;y\n500;z\n", labels=True)

    assert b'ARR;x;Tier\n5;y;"Low; or free"\n500;z;"The ""High"" one"\n' == out


def test_a_name_that_the_encoding_cannot_write_is_told_with_the_cure():
    layout = read_layout("a.csv", "ARR,Жук\n5,\n".encode("cp1251"), encoding="cp1251")

    with pytest.raises(AccountError, match="'é' cannot be written, cp1251 has no 'é'; write tier ids, or UTF-8"):
        layout.with_cells(layout.headings, {2: "é"})


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"", "a.csv: the file is empty; its first line holds the headings"),
        (b"\n\r\n ,;\n"[:3], "a.csv: the file is empty"),
        (b"PK\x03\x04", "a.csv: is a workbook or a zip file; save it as CSV in UTF-8"),
        ("ARR\n5\n".encode("utf-16"), "is encoded in UTF-16"),
        (b'ARR\n"5', "a.csv:2: a quoted cell that begins here is never closed"),
        (
            b"<html><body>",
            "no column holds arr .*name its heading: --column arr=HEADING; the headings are '<html><body>'",
        ),
        (b"ARR,Annual Value\n", r"'ARR' \(#1\) and 'Annual Value' \(#2\) may each be arr; say which: --column arr=#1"),
        (b"ARR,arr\n", r"'ARR' \(#1\) and 'arr' \(#2\) may each be arr"),
        (b"ARR,Tier,tier\n", "there are 2 columns 'Tier'; rename one, or name another: --tier-column"),
    ],
)
def test_what_is_no_export_is_told_with_the_cure(data, problem):
    with pytest.raises(AccountError, match=problem):
        tiered(data)
