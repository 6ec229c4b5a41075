"""Regular expressions of people: what they find is what Python finds, and no text holds a run."""

import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alignment.foreign import isolation
from alignment.foreign.patterns import fault_of, found_in
from alignment.kinds.align.settings import AlignConfig
from alignment.kinds.settings.rules import check_pattern
from alignment.seam.errors import DataError
from alignment.targets.rules import matches
from tests.alignment.conftest import hurried

SLOW = ["(a+)+$", "(.*a){30}", r"(\w+\s?)+\?$", "(a|aa)+$"]
BROKEN = ["(", "x{99999999999}", "(" * 9000 + ")" * 9000, "(?<=a*)b", "[z-a]", r"\1"]
ORDINARY = [
    "please", r"\d{2}", r"^(yes|no)\b.*\.$", r"\s+$", "(?i)thank(s| you)", "x{1000000}", r"[^\n]*\Z",
    r"(?:[^;]+;)*[^;]+$", r"^\W*\w+(\W+\w+){0,20}$",
]  # fmt: skip


@settings(max_examples=30, deadline=None)
@given(st.sampled_from(ORDINARY), st.lists(st.text(max_size=30), max_size=5))
def test_a_pattern_finds_what_python_finds(pattern, texts):
    assert found_in(pattern, texts) == [re.search(pattern, text) is not None for text in texts]


@pytest.mark.parametrize("pattern", ORDINARY)
def test_an_ordinary_pattern_is_taken(pattern):
    check_pattern(pattern)


@pytest.mark.parametrize("pattern", SLOW)
def test_a_pattern_that_takes_for_ever_is_refused_where_it_is_written(pattern, monkeypatch):
    monkeypatch.setattr(isolation, "PATIENCE", 0.25)
    before = time.monotonic()
    with pytest.raises(ValueError, match="did not finish within 1 s on texts of 300 letters"):
        check_pattern(pattern)
    assert time.monotonic() - before < 4
    fault_of.cache_clear()


@pytest.mark.parametrize("pattern", BROKEN)
def test_a_pattern_that_cannot_be_compiled_is_no_regular_expression(pattern):
    with pytest.raises(ValueError, match="is no regular expression"):
        check_pattern(pattern)


def test_a_setting_names_the_pattern_and_why(monkeypatch):
    monkeypatch.setattr(isolation, "PATIENCE", 0.25)
    for settings_ in (
        {"must_match": "(e+)+$"},
        {"rule": "matches", "rule_text": "(e+)+$"},
        {"more_rules": "1 matches (e+)+$"},
        {"more_wishes": "0.5 matches (e+)+$"},
    ):
        with pytest.raises(ValueError, match=r"“\(e\+\)\+\$” did not finish"):
            AlignConfig(**settings_)
    fault_of.cache_clear()


def test_a_text_on_which_a_pattern_takes_for_ever_fails_the_run_with_its_cause():
    rule = matches("q(u|u)+$")
    assert rule(["quu", "q"]).tolist() == [1, 0]
    with (
        hurried("1 s"),
        pytest.raises(DataError, match=r"“q\(u\|u\)\+\$” did not finish within 1 s"),
    ):
        rule(["fine", "q" + "u" * 60 + "!"])
    assert rule(["quu"]).tolist() == [1]
