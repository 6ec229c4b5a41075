"""Rows typed from the documentation of their formats: what they become, and what their damage costs."""

import copy
import io
import json

import pytest
from hypothesis import strategies as st

from alignment.rows import argilla
from alignment.rows.formats import FORMATS, GUESS
from alignment.rows.found import (
    Answered,
    Demonstrated,
    Graded,
    Ordered,
    Preferred,
    Thumbed,
    Tied,
)
from alignment.rows.json_lines import Row, rows_of
from tests.webapp.datasets.drawn import drawn, look_at_each
from tests.webapp.datasets.typed import ASKED, MARKS, MESSAGES, PHYSICS, POLES, TOOLS, TYPED
from webapp.datasets.imports.parts import take_in
from webapp.datasets.imports.reading import read_rows
from webapp.datasets.intake import Become, Plan
from webapp.datasets.models import Intake

MUTATIONS, PROVED = 300, 10_000
DOCUMENTS = [(name, typed) for name, all_ in TYPED.items() for typed in all_]
WITH_TOOLS = ("tool calling", "function calling", "with tools")
CALLING = [typed for _, typed in DOCUMENTS if typed.document.endswith(WITH_TOOLS)]
MARKED = tuple(MARKS.items())
SAID = {  # by the document: what annotators are read to have said
    "the card beside an export of ours": ("a1", Preferred(0, 2)),
    "the card beside all labels with everything": ("a1", Answered("compare", '{"choice":2}')),
    "Label Studio docs, templates: Human Preference collection for RLHF": ("3", Preferred(0)),
    "Label Studio docs, templates: LLM Ranker": ("3", Ordered((1, 0))),
    "Label Studio docs, templates: LLM Response Grading": ("3", Graded(4, 5, question="it")),
    "Label Studio docs, templates: Supervised LLM Fine-Tuning": ("3", Demonstrated(PHYSICS)),
    "Argilla 2 docs, how-to: import and export records": ("5b1c", Preferred(1)),
    "Argilla 2 docs, how-to: export records to a dataset of the Hub": ("5b1c", Preferred(0)),
    "Argilla 1 docs, feedback dataset: responses with values": ("5b1c", Ordered((1, 0))),
    "Open WebUI docs, evaluation: a thumb": ("u-17", Thumbed(True)),
    "lmsys/lmsys-arena-human-preference-55k, dataset card": ("", Preferred(1)),
    "nvidia/HelpSteer and HelpSteer2, dataset cards": ("", Graded(3, 4, 0, MARKED)),
    "nvidia/HelpSteer2, dataset card: preference": ("", Preferred(1, 2)),
    "nvidia/HelpSteer3, dataset card: preference": ("", Preferred(0, 1)),
    "TRL docs, dataset formats: unpaired preference": ("", Thumbed(True)),
    "LLaMA-Factory, data/README: KTO": ("", Thumbed(True)),
    "lmsys/chatbot_arena_conversations, dataset card": ("arena_user_12", Preferred(0)),
}


def held(rows, format=GUESS):
    """What rows hold, at their lines."""
    return read_rows((Row(f"line {n}", row) for n, row in enumerate(rows, start=1)), format)


def test_every_format_has_rows_of_its_own_documentation():
    assert TYPED.keys() == FORMATS.keys()


@pytest.mark.parametrize(
    ("name", "typed"), DOCUMENTS, ids=[typed.document for _, typed in DOCUMENTS]
)
def test_rows_are_known_and_read_as_their_documentation_has_them(name, typed):
    reading = held(typed.rows)
    assert (reading.refusals, set(reading.formats)) == ([], {name})
    assert held(typed.rows, name).prompts == reading.prompts
    for prompt in reading.prompts.values():
        asked = [turn.content for turn in prompt.messages if turn.role == "user"]
        assert asked[-1].split("\n")[0].strip() in (ASKED, "Why?")
        assert {answer.text for answer in prompt.answers.values()} <= {PHYSICS, POLES}
    said = [(one.annotator, one.said) for p in reading.prompts.values() for one in p.labels]
    assert said[:1] == ([SAID[typed.document]] if typed.document in SAID else [])


def test_no_row_fits_a_format_that_columns_of_its_names_cannot_be_in():
    rows = [row for _name, typed in DOCUMENTS for row in typed.rows if isinstance(row, dict)]
    fewer = [{n: row[n] for n in row if n != name} for row in rows for name in row]
    for row in (*rows, *fewer):
        assert all(known.may(row.keys()) for known in FORMATS.values() if known.fits(row))


@pytest.mark.parametrize("typed", CALLING, ids=[typed.document for typed in CALLING])
def test_calls_of_tools_are_read_however_they_are_written(typed):
    for prompt in held(typed.rows).prompts.values():
        asked, called, told = prompt.messages
        assert (json.loads(asked.tools), asked.content) == (TOOLS, ASKED)
        assert [(call.name, json.loads(call.arguments)) for call in called.tool_calls] == [
            ("field_of", {"magnet": "bar"})
        ]
        assert (called.content, told.role, told.content) == ("", "tool", '{"tesla": 0.1}')
        assert told.tool_call_id == "".join(call.id for call in called.tool_calls)


def test_flat_messages_are_the_trees_they_come_from():
    first, follow_up = held(MESSAGES).prompts.values()
    assert [answer.rank for answer in first.answers.values()] == [0, 1]
    assert [turn.content for turn in follow_up.messages] == [ASKED, PHYSICS, "Why?"]
    back = held(MESSAGES[::-1])  # whatever their order
    assert back.prompts.keys() == held(MESSAGES).prompts.keys()


def test_flat_messages_that_belong_to_no_tree_are_told_by_their_lines():
    own = MESSAGES[3] | {"message_id": "m5", "parent_id": "m5"}
    lost = MESSAGES[3] | {"message_id": "m6", "parent_id": "gone"}
    below = MESSAGES[1] | {"message_id": "m7", "parent_id": "m6"}
    reading = held([*MESSAGES, own, lost, below, MESSAGES[0]])
    assert [one.partition(":")[0] for one in reading.refusals] == [
        "line 8",
        "line 5",
        "line 6",
        "line 7",
    ]


def test_a_battle_that_ended_equal_is_a_tie():
    (typed,) = TYPED["arena"]
    (prompt,) = held([typed.rows[0] | {"winner_model_b": 0, "winner_tie": 1}]).prompts.values()
    assert [label.said for label in prompt.labels] == [Tied()]


def test_battles_of_several_turns_part_too_early():
    (typed,) = TYPED["arena"]
    (refusal,) = held([typed.rows[0] | {"prompt": '["a", "b"]'}]).refusals
    assert "several turns" in refusal


@pytest.mark.parametrize(
    ("name", "change", "words"),
    [
        ("open_webui", {"data": {"rating": 5}}, "neither 1 nor -1"),
        ("open_webui", {"meta": {}}, "a message of the chat is missing"),
        ("helpsteer", {"verbosity": 9}, "from 0 to 4"),
        ("helpsteer", {"helpfulness": "a lot"}, "“helpfulness” is no whole number"),
        ("label_studio", {"annotations": [1]}, "no list “result”"),
        ("argilla", {"responses": [{}]}, "no “values”"),
        ("argilla", {"responses": [{"values": None, "status": "submitted"}]}, "no “values”"),
        ("unpaired", {"completion": None, "completions": []}, "more or less than one answer"),
    ],
)
def test_what_is_wrong_is_said(name, change, words):
    (refusal,) = held([TYPED[name][0].rows[0] | change], name).refusals
    assert words in refusal


def test_responses_that_were_discarded_have_no_values():
    discarded = [{"values": values, "status": "discarded"} for values in (None, {})]
    reading = held([TYPED["argilla"][2].rows[0] | {"responses": discarded}])
    assert (reading.refusals, reading.left_out[argilla.UNSENT]) == ([], 2)


def rated(question, mark):
    """An answer with a mark, as Argilla has it."""
    return {
        "fields": {"prompt": ASKED, "response": f"{PHYSICS} {mark}"},
        "responses": {question: [{"value": mark, "user_id": "5b1c"}]},
    }


@pytest.mark.parametrize("marks", [[3, 8, 5], [8, 3, 5]])
def test_marks_of_one_question_are_on_one_scale_which_the_largest_tells(marks):
    rows = [rated("of ten", mark) for mark in marks] + [rated("stars", 4), rated("stars", 5)]
    (prompt,) = held(rows).prompts.values()
    said = [(label.said.mark, label.said.highest) for label in prompt.labels]
    assert said == [*((mark, 10) for mark in marks), (4, 5), (5, 5)]
    plain = [{"prompt": ASKED, "completion": f"{mark}", "rating": mark} for mark in marks]
    (prompt,) = held(plain).prompts.values()
    assert [label.said.highest for label in prompt.labels] == [10, 10, 10]


JUNK = (
    st.none() | st.booleans() | st.integers(-3, 10**20) | st.floats() | st.text(max_size=4)
    | st.sampled_from(["\x00", "\ud800", " ", [], {}, [[]], [{}], 10**400, {"content": "x"}, "left", "a" * 200, ASKED])
)  # fmt: skip
EDITS = st.lists(
    st.tuples(st.integers(0, 10_000), st.sampled_from(["drop", "set", "wrap", "text", "twice", "rename"]), JUNK),
    min_size=1,
    max_size=3,
)  # fmt: skip


def edited(row, edits):
    """The row with each edit made at one of its places."""
    row = copy.deepcopy(row)
    for number, how, junk in edits:
        places = list(_places(row))
        if not places:
            return junk
        inside, key = places[number % len(places)]
        _edit(inside, key, how, copy.deepcopy(junk))
    return row


def _places(value):
    keys = (
        value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    )
    for key in list(keys):
        yield value, key
        yield from _places(value[key])


def _edit(inside, key, how, junk):
    if how == "drop":
        inside.pop(key)
    elif how == "twice" and isinstance(inside, list):
        inside.append(inside[key])
    elif how == "rename" and isinstance(inside, dict):
        inside[str(junk)] = inside.pop(key)
    else:
        inside[key] = {"wrap": [inside[key]], "text": str(inside[key])}.get(how, junk)


def damaged(number):
    """So many edits, drawn once: each format makes them to its own rows."""
    return drawn(EDITS, number)


@pytest.fixture(scope="module")
def edits():
    return damaged(MUTATIONS)


def rows_with(edits, name):
    """A row of a format for each edit."""
    rows = [row for typed in TYPED[name] for row in typed.rows]
    return [edited(rows[number % len(rows)], edit) for number, edit in enumerate(edits)]


def refused_by_place_or_storable(reading):
    assert all(refusal.startswith("line ") for refusal in reading.refusals)
    for prompt in reading.prompts.values():
        assert prompt.messages[-1].role in ("user", "tool")
        for key, answer in prompt.answers.items():
            assert "\0" not in answer.text
            assert len(key) <= 80
            assert json.dumps(answer.about, allow_nan=False).encode()
        for label in prompt.labels:
            assert set(label.items) <= prompt.answers.keys()
            assert len(set(label.items)) == len(label.items)
            assert len(label.annotator.encode()) <= 4 * 80


@pytest.mark.parametrize("name", FORMATS)
def test_any_damage_to_a_row_costs_the_row_at_most(name, edits):
    def look(row):
        for format in (GUESS, name):
            reading = held([row], format)
            assert reading.rows + reading.refused
            refused_by_place_or_storable(reading)

    look_at_each(rows_with(edits, name), look)


@pytest.mark.parametrize("name", FORMATS)
def test_any_damage_to_a_line_costs_the_line_at_most(name, edits):
    line = json.dumps(TYPED[name][0].rows[0]).encode()
    for (place, _how, junk), *_ in edits:
        cut = place % len(line)
        content = line[:cut] + str(junk).encode(errors="replace")[:8] + line[cut + 1 :]
        refused_by_place_or_storable(read_rows(rows_of(io.BytesIO(content + b"\n" + line))))


@pytest.mark.prove
@pytest.mark.parametrize("become", Become)
@pytest.mark.parametrize("name", FORMATS)
def test_all_that_is_left_of_damaged_rows_can_be_taken_in(name, become, project):
    """Whatever can be read is stored as a whole; the second time adds nothing."""
    rows = rows_with(damaged(PROVED // len(Become)), name)
    reading = held(rows)
    refused_by_place_or_storable(reading)
    added = take_in(project, reading, Plan(become))
    again = take_in(project, held(rows), Plan(become))
    assert (added.prompts, Intake.objects.exclude(settled=True).count()) == (
        len(reading.prompts),
        0,
    )
    assert not any((again.prompts, again.completions, again.tasks, again.preferences, again.labels))
