"""What simulated people like in answers to instructions, and the instructions themselves."""

import pytest

from alignment.seam.records import prompt_key, split_of
from alignment.world.instructions import KNOWN, LISTED, TEXTS, instructions
from alignment.world.prose import prose_utility
from alignment.world.utility import SimulatedAnnotator, utility

ASKED = "Explain how soap removes grease."
LISTING = "List three things to pack for a day at the beach."
GOOD = "Soap removes grease because one end of it holds on to fat and the other to water."
LIST = "- A towel for the beach\n- Sun cream\n- A bottle of water, packed cold."


@pytest.mark.parametrize(
    ("better", "worse"),
    [
        (GOOD, GOOD.removesuffix(" of it holds on to fat and the other to water.") + " of"),
        (GOOD, f"{GOOD} " + "It also cleans hands, plates, pans, floors, windows and walls. " * 3),
        (GOOD, "It just does."),
        (GOOD, "One end of it holds on to fat and the other end of it to water, so it goes."),
        (GOOD, f"Sure! {GOOD}"),
        (
            GOOD,
            "Soap removes grease. Soap removes grease. Soap removes grease. Soap removes grease.",
        ),
        (GOOD, "- Soap removes grease\n- one end holds fat\n- the other holds water, and it goes."),
    ],
    ids=["ended", "short", "full", "on the subject", "no opening", "no repetition", "no list"],
)
def test_people_like(better, worse):
    assert prose_utility(ASKED, better) > prose_utility(ASKED, worse) + 0.3


def test_a_list_is_liked_where_one_was_asked_for():
    said = LIST.replace("\n-", ",").removeprefix("- ")
    assert prose_utility(LISTING, LIST) > prose_utility(LISTING, said) + 1
    assert prose_utility(LISTING, "") < prose_utility(LISTING, "- A towel")


def test_the_instructions_are_distinct_and_of_every_split():
    texts = [turns[0].content for turns in instructions()]
    assert len(texts) == len(KNOWN) == len(TEXTS) == 150
    assert 30 <= len(LISTED) <= 40
    splits = [split_of(prompt_key(turns)) for turns in instructions()]
    assert splits.count("test") >= 20
    assert splits.count("validation") >= 20


def test_people_judge_instructions_by_it_and_other_prompts_as_before():
    assert utility(ASKED, GOOD) == prose_utility(ASKED, GOOD)
    assert utility("How do I bake bread?", GOOD) != prose_utility("How do I bake bread?", GOOD)
    person = SimulatedAnnotator(1)
    choices = [person.choose(ASKED, "It just", GOOD) for _ in range(20)]
    assert sum(choice > 4 for choice in choices) >= 18
