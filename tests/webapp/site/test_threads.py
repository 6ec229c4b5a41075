"""What a second thread makes ahead is what one would have made, and nothing of it stays behind."""

import sys
from contextlib import closing

import pytest

from webapp.site.threads import TURN, ahead, short_turns


def test_the_same_comes_in_the_same_order_while_the_next_is_made():
    made = []

    def items():
        for number in range(5):
            made.append(number)
            yield number

    with closing(ahead(items())) as coming:
        first = next(coming)
        assert [first, *coming] == [0, 1, 2, 3, 4]
    assert made == [0, 1, 2, 3, 4]


def test_what_breaks_while_it_is_made_breaks_where_it_is_used():
    def items():
        yield 1
        raise OSError("full")

    coming = ahead(items())
    assert next(coming) == 1
    with pytest.raises(OSError, match="full"):
        next(coming)


def test_whoever_stops_early_leaves_python_as_it_was():
    before = sys.getswitchinterval()
    with closing(ahead(iter(range(9)))) as coming:
        next(coming)
        assert sys.getswitchinterval() == pytest.approx(TURN, abs=1e-6)
    assert sys.getswitchinterval() == before


def test_python_is_as_it_was_once_the_last_of_two_is_done_whichever_began():
    before = sys.getswitchinterval()
    one, other = short_turns(), short_turns()
    one.__enter__()
    other.__enter__()
    one.__exit__(None, None, None)
    assert sys.getswitchinterval() < before
    other.__exit__(None, None, None)
    assert sys.getswitchinterval() == before
