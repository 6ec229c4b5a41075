import sys

from webapp.site.diffs import LONGEST, word_diff


def test_words_that_went_and_came_are_marked_and_the_others_stay():
    assert word_diff("a good day", "a fine day") == "a <del>good</del><ins>fine</ins> day"


def test_what_only_came_or_went_is_marked_once():
    assert word_diff("yes", "yes please") == "yes<ins> please</ins>"
    assert word_diff("yes please", "yes") == "yes<del> please</del>"


def test_nothing_of_a_text_runs():
    made = word_diff("<b>x</b>", "<script>alert(1)</script>")
    assert "<script" not in made
    assert "<b>" not in made
    assert "&lt;script&gt;" in made


def test_a_very_long_text_is_replaced_as_a_whole():
    long = "a " * (LONGEST + 1)
    assert word_diff(long, "b") == f"<del>{long}</del><ins>b</ins>"


def test_a_model_that_repeats_itself_takes_no_more_time_than_another(monkeypatch):
    """Steps of the matcher, counted: without care they go by the cube of the length."""
    steps = []

    def traced(frame, event, _):
        steps.append(1)
        return traced if len(steps) < 2_000_000 else None

    before = sys.gettrace()
    sys.settrace(traced)
    try:
        word_diff("a b " * 450, "a c " * 450)
    finally:
        sys.settrace(before)
    assert len(steps) < 100_000
