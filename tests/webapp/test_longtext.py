"""Texts are counted as the browser counts them."""

import pytest
from django import forms
from hypothesis import given
from hypothesis import strategies as some

from webapp.site.longtext import LongText, length

TEXTS = some.text(some.sampled_from("a \n\té語😀\u200d\u0301"), max_size=60)


def browser_length(text):
    """What JavaScript says of the same text in a box: UTF-16 units."""
    return sum(2 if ord(character) > 0xFFFF else 1 for character in text)


@given(TEXTS)
def test_what_a_browser_sends_is_counted_as_it_shows_it(text):
    sent = text.replace("\n", "\r\n")
    field = LongText(limit=max(1, browser_length(text)), strip=False, required=False)
    assert field.clean(sent) == (text if text.strip() else "")
    assert length(text) == browser_length(text)


@given(TEXTS.filter(lambda text: text.strip() and browser_length(text) > 1))
def test_one_character_more_than_the_limit_is_refused(text):
    with pytest.raises(forms.ValidationError, match=f"{browser_length(text)} characters"):
        LongText(limit=browser_length(text) - 1, strip=False).clean(text)
