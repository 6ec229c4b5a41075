from webapp.diffs import LONGEST, word_diff


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
