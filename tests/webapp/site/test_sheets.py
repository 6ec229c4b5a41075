"""Files that spreadsheets open."""

import csv

import pytest

from webapp.site.sheets import as_text, sheet_of


@pytest.mark.parametrize("cell", ["=1+1", "+1", "-1", "@SUM(1)", "\t=1", "\r=1"])
def test_no_text_is_taken_for_a_formula(cell):
    assert as_text(cell) == f"'{cell}"


def test_a_sheet_has_its_columns_and_rows_as_they_are_read():
    parts = [[("a,\n", -1)], [], [("=b", None)]]
    answer = sheet_of("some.csv", ("name", "n"), parts)
    assert answer["Content-Type"] == "text/csv; charset=utf-8"
    lines = b"".join(answer).decode().splitlines(keepends=True)
    assert list(csv.reader(lines)) == [["name", "n"], ["a,\n", "-1"], ["'=b", ""]]
