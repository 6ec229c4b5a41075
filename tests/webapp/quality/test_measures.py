"""What labels say of agreement and of habits: figures of few labels, each counted by hand."""

import pytest

from webapp.quality.measures import Measures
from webapp.quality.readings import AnsweredTask, KnownAnswer, LabelReading, Origin

LENGTHS = [10, 30]  # characters of the answers at places 0 and 1


def reading(annotator, choice=2, *, task=1, order=(0, 1), **columns):
    """A comparison by somebody: up to 3 is for what stood first."""
    better = order[0] if choice < 4 else order[1]
    verdict = "0=1" if choice == 4 else f"{better}>{1 - better}"
    told = {
        "label": 1,
        "simulated": False,
        "imported": False,
        "counted": True,
        "visible_ms": None,
    } | columns
    said = {"verdict": verdict, "answer": {"choice": choice}, "order": list(order)}
    return LabelReading(task=task, kind="compare", size=2, annotator=annotator, **told, **said)


def figures_of(*tasks):
    measures = Measures()
    for readings in tasks:
        measures.feed(AnsweredTask(list(readings), LENGTHS))
    return measures.figures()


def person(figures, annotator=1):
    (found,) = (one for one in figures["people"] if one["annotator"] == annotator)
    return found


def test_who_says_the_same_about_other_sides_agrees():
    """Ana saw the places as they are, Ben turned round: both mean the answer at place 0."""
    found = figures_of([reading(1, 2), reading(2, 6, order=(1, 0))], [reading(1, 2), reading(2, 6)])
    pairs = found["origins"]["people"]["pairs"]
    assert (pairs["value"], pairs["tasks"], pairs["labels"]) == (0.5, 2, 4)
    assert person(found)["agrees"]["value"] == 0.5


def test_each_origin_is_measured_by_itself():
    """Machines that agree with everybody change nothing of what people say."""
    people = [reading(1, 2), reading(2, 6)]
    others = [reading(3, 2, simulated=True), reading(4, 2, simulated=True)]
    brought = [reading(5, 2, imported=True), reading(6, 6, imported=True)]
    alone, mixed = figures_of(people), figures_of([*people, *others, *brought])
    assert mixed["origins"]["people"] == alone["origins"]["people"]
    assert mixed["origins"]["simulated"]["pairs"]["value"] == 1
    assert mixed["origins"]["imported"]["pairs"]["value"] == 0
    assert mixed["rulers"] == alone["rulers"]
    assert mixed["labels"] == {Origin.PEOPLE: 2, Origin.SIMULATED: 2, Origin.IMPORTED: 2}


def test_an_extra_label_is_no_part_of_agreement():
    found = figures_of([reading(1), reading(2, counted=False)])
    assert found["origins"] == {}
    assert person(found, 2)["agrees"]["value"] is None
    assert person(found, 2)["labels"] == 1


def test_how_often_somebody_chooses_the_first_shown_and_the_longer():
    found = person(
        figures_of(
            [reading(1, 1)],  # place 0, the shorter
            [reading(1, 3, order=(1, 0))],  # place 1, the longer, shown first
            [reading(1, 7)],  # place 1, shown second
            [reading(1, 4)],  # a tie is no choice
            [reading(1, 0)],
        )
    )
    assert (found["left"]["value"], found["left"]["labels"]) == (pytest.approx(2 / 3), 3)
    assert found["longer"]["value"] == pytest.approx(2 / 3)


def test_answers_of_one_length_say_nothing_of_length():
    measures = Measures()
    measures.feed(AnsweredTask([reading(1)], [7, 7]))
    found = measures.figures()
    assert person(found)["longer"]["labels"] == 0
    assert found["rulers"]["longest"]["value"] == found["rulers"]["random"]["value"] == 0.5


def test_rulers_say_what_not_reading_would_have_chosen():
    found = figures_of([reading(1, 7)], [reading(1, 2)], [reading(1, 2)])["rulers"]
    assert found["longest"]["value"] == pytest.approx(1 / 3)
    assert found["shortest"]["value"] == found["left"]["value"] == pytest.approx(2 / 3)


def test_what_was_answered_faster_than_it_can_be_read_is_too_fast():
    """40 characters take 0.4 s at 100 a second."""
    found = person(
        figures_of([reading(1, visible_ms=399)], [reading(1, visible_ms=400)], [reading(1)])
    )
    assert (found["fast"]["value"], found["fast"]["labels"]) == (0.5, 2)
    assert found["visible_ms"] == 399.5


def test_people_come_by_how_much_they_gave():
    found = figures_of([reading(1), reading(2)], [reading(2)])
    assert [one["annotator"] for one in found["people"]] == [2, 1]


def test_a_kind_that_is_not_here_any_more_is_measured_by_what_it_said():
    gone = [reading(number)._replace(kind="gone") for number in (1, 2)]
    found = figures_of(gone)
    assert found["origins"]["people"]["kinds"]["gone"]["pairs"]["value"] == 1
    assert person(found)["left"]["labels"] == 0


KNOWN = KnownAnswer("0>1", 0, after=5)


def test_checks_say_who_is_right_and_are_no_agreement():
    measures = Measures()
    later = [reading(number, choice, label=9) for number, choice in ((1, 2), (2, 2), (3, 6))]
    measures.feed(AnsweredTask(later, LENGTHS, gold=KNOWN))
    found = measures.figures()
    assert [person(found, number)["gold"]["value"] for number in (1, 2, 3)] == [1, 1, 0]
    assert found["gold"]["value"] == pytest.approx(2 / 3)
    assert found["gold_rulers"]["shortest"]["value"] == 1
    assert found["origins"] == {}


def test_what_was_said_before_an_answer_was_known_is_agreement_and_no_check():
    measures = Measures()
    measures.feed(AnsweredTask([reading(1, 2), reading(2, 6)], LENGTHS, gold=KNOWN))
    found = measures.figures()
    assert found["origins"]["people"]["pairs"]["value"] == 0
    assert found["gold"]["value"] is None


def test_a_silent_repeat_says_whether_somebody_is_of_their_own_opinion():
    measures = Measures()
    said = [reading(1, 2), reading(2, 6, simulated=True), reading(3, 2)]
    measures.feed(AnsweredTask(said, LENGTHS, before={1: "0>1", 2: "0>1"}))
    found = measures.figures()
    assert [person(found, number)["again"]["value"] for number in (1, 2, 3)] == [1, 0, None]
    assert (found["again"]["value"], found["again"]["labels"]) == (1, 1)
    assert found["origins"] == {}
