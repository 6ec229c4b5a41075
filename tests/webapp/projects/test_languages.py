"""In which language a text is."""

import pytest

from webapp.projects.languages import LANGUAGES, language_of


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("How does a river shape the land on its way down to the sea?", "en"),
        ("Wie formt ein Fluss die Landschaft auf seinem Weg bis zum Meer?", "de"),
        ("河流在流向大海的途中是如何塑造大地的 请用简单的语言说明给孩子们听", "zh"),
        ("Why?", ""),
        ("1 2 3 4 5 6 7 8 9 10 11 12 13", ""),
    ],
)
def test_a_text_is_told_where_there_is_enough_of_it(text, code):
    assert language_of(text) == code


def test_every_language_has_a_name_and_people_find_it_by_that():
    assert not [code for code, name in LANGUAGES.items() if code == name]
    names = [name.casefold() for name in LANGUAGES.values()]
    assert names == sorted(names)
