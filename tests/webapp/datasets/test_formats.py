"""Rows of other tools, typed after their documented columns: what they become, and what of them does not."""

import json
import math
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alignment.rows.answers import EQUAL, HALF, MISSING, UNKNOWN, WHOLE
from alignment.rows.formats import FORMATS, GUESS, row_of
from alignment.rows.found import BadRow, Found, Preferred, Tied, content_key
from alignment.rows.json_lines import Row
from alignment.rows.oasst import DELETED, UNRANKED
from alignment.rows.preferences import COMMON, REPEATED, SAME
from alignment.rows.prompts import JOINED
from alignment.rows.texts import AS_TURNS
from alignment.seam.records import Message, prompt_key
from tests.webapp.datasets.drawn import drawn, look_at_each
from webapp.datasets.imports.reading import AGAIN, ASKED_AGAIN, FEW, OTHERS, SAID_AGAIN, read_rows


def read(*rows, format=GUESS):
    """What rows hold."""
    return read_rows((Row(f"row {n}", row) for n, row in enumerate(rows, start=1)), format)


def the_prompt(reading):
    assert reading.refusals == []
    (prompt,) = reading.prompts.values()
    return prompt


def said(role, content):
    return {"role": role, "content": content}


def turns(prompt):
    return [(turn.role, turn.content) for turn in prompt.messages]


def texts(prompt):
    return [answer.text for answer in prompt.answers.values()]


def abouts(prompt):
    return [dict(answer.about) for answer in prompt.answers.values()]


def preferred(prompt):
    """The pairs of texts, the better one first."""
    return [(prompt.answers[p.better].text, prompt.answers[p.worse].text) for p in prompt.pairs]


ALONE = [  # what may be strange about three texts
    ("Why?", "Because.", "No."),
    ("Why?", "same", "same"),
    ("Why?", "", " "),
    ("Why?", "Why? Because.", "Why? No."),
    (" Why?\r\n", " a ", "\ta"),
    ("", "a", "b"),
    ("Why?", "a\0", "b"),
    ("Why?", "a", "\ud800"),
    ("Why?", "a", None),
    ("Why?", 5, "b"),
    (["Why?"], "a", "b"),
    ("\n\nHuman: Why?\n\nAssistant:", "a", "b"),
    ("Why?", "\n\nHuman: Why?\n\nAssistant: a", "b"),
]


@pytest.mark.parametrize("trimmed", [False, True])
@pytest.mark.parametrize("told", ALONE)
def test_three_texts_alone_are_what_they_are_beside_other_columns(told, trimmed, monkeypatch):
    """Nothing is looked for in most of them; of others the same comes as if something were."""

    def come_of():
        found = Found(trimmed=trimmed)
        with suppress(BadRow):
            return row_of(
                dict(zip(("prompt", "chosen", "rejected"), told, strict=True)), GUESS, found
            )
        return None

    quick = come_of()
    monkeypatch.setattr("alignment.rows.preferences._texts_alone", lambda _row: None)
    assert come_of() == quick


def test_however_many_pairs_a_prompt_has_those_that_come_again_are_told():
    rows = [{"prompt": "Why?", "chosen": str(n), "rejected": str(n + 1)} for n in range(3 * FEW)]
    prompt = the_prompt(read(*rows))
    assert len(prompt.pairs) == 3 * FEW
    assert read(*rows).notes == {}
    assert read(*rows, *rows[::5]).notes == {SAID_AGAIN: len(rows[::5])}


def test_a_preference_with_its_prompt_apart():
    prompt = the_prompt(read({"prompt": "Why?", "chosen": "Because.", "rejected": "No."}))
    assert (turns(prompt), texts(prompt)) == ([("user", "Why?")], ["Because.", "No."])
    assert preferred(prompt) == [("Because.", "No.")]


def test_a_preference_that_both_sides_begin_with():
    row = {
        "chosen": [said("user", "Why?"), said("assistant", "Because.")],
        "rejected": [said("user", "Why?"), said("assistant", "No.")],
    }
    prompt = the_prompt(read(row))
    assert (turns(prompt), preferred(prompt)) == ([("user", "Why?")], [("Because.", "No.")])
    reading = read({"chosen": "The sky is blue.", "rejected": "The sky is green."})
    assert turns(the_prompt(reading)) == [("user", "The sky is ")]
    assert reading.notes == {COMMON: 1}  # said, since it is a guess


def test_a_transcript_of_hh_rlhf_is_read_as_turns():
    begin = "\n\nHuman: Hi\n\nAssistant: Hello.\n\nHuman: Two\n\nlines?\n\nAssistant:"
    reading = read({"chosen": f"{begin} Yes. ", "rejected": f"{begin} No."})
    prompt = the_prompt(reading)
    assert turns(prompt) == [("user", "Hi"), ("assistant", "Hello."), ("user", "Two\n\nlines?")]
    assert preferred(prompt) == [("Yes. ", "No.")]
    assert reading.notes == {AS_TURNS: 2}


def test_a_transcript_may_stand_apart_from_its_answers():
    prompt = the_prompt(
        read({"prompt": "\n\nHuman: Hi\n\nAssistant:", "chosen": " Hello.", "rejected": " Go."})
    )
    assert (turns(prompt), texts(prompt)) == ([("user", "Hi")], [" Hello.", " Go."])


def test_transcripts_that_part_early_are_refused_by_name():
    row = {
        "chosen": "\n\nHuman: Hi\n\nAssistant: A\n\nHuman: B\n\nAssistant: C",
        "rejected": "\n\nHuman: Hi\n\nAssistant: D",
    }
    assert read(row).refusals == ["row 1: “chosen” and “rejected” part before their last turn"]


def test_a_binarized_row_of_ultrafeedback():
    row = {
        "prompt": "Why?",
        "prompt_id": "0a1b",
        "chosen": [said("user", "Why?"), said("assistant", "Because.")],
        "rejected": [said("user", "Why?"), said("assistant", "No.")],
        "messages": [said("user", "Why?"), said("assistant", "Because.")],
        "score_chosen": 8.5,
        "score_rejected": 2.0,
    }
    reading = read(row)
    prompt = the_prompt(reading)
    assert preferred(prompt) == [("Because.", "No.")]
    assert abouts(prompt) == [{"score": 8.5}, {"score": 2.0}]
    assert set(reading.unused) == {"prompt_id", "messages"}


def test_a_row_of_ultrafeedback():
    completion = {
        "model": "alpaca-7b",
        "response": "Because.",
        "overall_score": 7.5,
        "critique": "Short.",
        "annotations": {"honesty": {"Rating": "4"}},
        "fine-grained_score": None,
    }
    other = completion | {"model": "gpt-4", "response": "It is so."}
    row = {
        "source": "evol_instruct",
        "instruction": "Why?",
        "models": ["alpaca-7b", "gpt-4"],
        "completions": [completion, other],
        "correct_answers": ["None"],
    }
    reading = read(row)
    prompt = the_prompt(reading)
    assert (turns(prompt), texts(prompt)) == ([("user", "Why?")], ["Because.", "It is so."])
    expected = {"model": "alpaca-7b", "overall_score": 7.5, "critique": "Short."}
    assert abouts(prompt)[0] == expected
    assert prompt.pairs == []  # scores are kept, not made preferences
    unused = {"source": 1, "correct_answers": 1, "completions[].annotations": 2}
    assert reading.unused == unused


@pytest.mark.parametrize(
    "columns",
    [
        {"answer_a": "x", "answer_b": "y"},
        {"response_a": "x", "response_b": "y"},
        {"response_1": "x", "response_2": "y"},
        {"output_1": "x", "output_2": "y"},
        {"completion_a": "x", "completion_b": "y"},
        {"response0": "x", "response1": "y"},
        {"responses": ["x", "y"]},
        {"completions": [{"text": "x"}, {"content": "y"}]},
        {"answers": [{"answer": "x"}, {"response": "y"}]},
        {"outputs": [[said("assistant", "x")], [said("assistant", "y")]]},
        {"answer_a": [said("assistant", "x")], "answer_b": said("assistant", "y")},
        {"response_a": [said("user", "Why?"), said("assistant", "x")], "response_b": "y"},
    ],
    ids=lambda columns: "-".join(columns),
)
@pytest.mark.parametrize(
    "asked",
    [
        {"prompt": "Why?"},
        {"prompt": [said("user", "Why?")]},
        {"messages": [said("user", "Why?")]},
        {"instruction": "Why?", "input": ""},
        {"question": "Why?"},
    ],
    ids=lambda columns: "-".join(columns),
)
def test_prompts_and_answers_go_by_many_names(asked, columns):
    reading = read(asked | columns)
    prompt = the_prompt(reading)
    assert (turns(prompt), texts(prompt)) == ([("user", "Why?")], ["x", "y"])
    assert not reading.unused


def test_what_is_known_of_an_answer_is_kept_with_it():
    sides = {"answer_a": "x", "answer_b": "y", "model_a": "m1", "score_b": 2}
    prompt = the_prompt(read({"prompt": "Why?"} | sides))
    assert abouts(prompt) == [{"model": "m1"}, {"score": 2}]
    lists = {"responses": ["x", "y"], "models": ["m1", "m2"], "scores": [0.5, None]}
    prompt = the_prompt(read({"prompt": "Why?"} | lists))
    assert abouts(prompt) == [{"model": "m1", "score": 0.5}, {"model": "m2"}]


@pytest.mark.parametrize("fact", [math.nan, math.inf, 10**30, "x" * 501, {"a": 1}, [1]])
def test_what_cannot_be_stored_with_an_answer_is_named(fact):
    reading = read({"prompt": "Why?", "completions": [{"text": "x", "fact": fact, "by": "a\0"}]})
    assert abouts(the_prompt(reading)) == [{"by": "a\ufffd"}]
    assert reading.unused == {"completions[].fact": 1}


def test_an_instruction_with_an_input_is_one_prompt():
    reading = read({"instruction": "Sum.", "input": "1 2", "output": "3"})
    prompt = the_prompt(reading)
    assert (turns(prompt), texts(prompt)) == ([("user", "Sum.\n\n1 2")], ["3"])
    assert reading.notes == {JOINED: 1}


def test_a_system_prompt_beside_the_question_comes_first():
    prompt = the_prompt(read({"system_prompt": "Be kind.", "question": "Why?", "response": "So."}))
    assert turns(prompt) == [("system", "Be kind."), ("user", "Why?")]


def test_messages_that_end_with_the_answer_hold_one():
    row = {"messages": [said("system", ""), said("user", "Why?"), said("assistant", "So.")]}
    reading = read(row)
    assert texts(the_prompt(reading)) == ["So."]
    assert sum(reading.left_out.values()) == 1  # the empty system message


def test_two_conversations_of_an_arena():
    row = {
        "model_a": "m1",
        "model_b": "m2",
        "winner": "model_b",
        "judge": "judge_1",
        "conversation_a": [said("user", "Why?"), said("assistant", "x")],
        "conversation_b": [said("user", "Why?"), said("assistant", "y")],
    }
    reading = read(row)
    prompt = the_prompt(reading)
    assert abouts(prompt) == [{"model": "m1"}, {"model": "m2"}]
    (label,) = prompt.labels
    assert (label.annotator, label.said, prompt.pairs) == (row["judge"], Preferred(1), [])
    (tie,) = the_prompt(read(row | {"winner": "tie (bothbad)"})).labels
    assert tie.said == Tied(both_bad=True)


@pytest.mark.parametrize(
    "columns",
    [
        {"completions": ["x", "y", "z"], "ranks": [1, 0, 1]},
        {"answers": [{"text": t, "rank": r} for t, r in (("x", 2.0), ("y", 1.0), ("z", 2.0))]},
    ],
)
def test_ranks_are_pairs_of_one_group(columns):
    prompt = the_prompt(read({"prompt": "Why?"} | columns))
    assert sorted(preferred(prompt)) == [("y", "x"), ("y", "z")]
    assert len({pair.group for pair in prompt.pairs} - {""}) == 1


def tree(*replies, **fields):
    root = {"message_id": "t", "role": "prompter", "text": "Why?", "replies": list(replies)}
    return {"message_tree_id": "t", "tree_state": "ready", "prompt": root | fields}


def reply(name, rank, *replies, **fields):
    row = {"message_id": name, "role": "assistant", "text": f"I am {name}.", "rank": rank}
    return row | {"replies": list(replies), "lang": "en"} | fields


def follow_up(name, *replies):
    return {"message_id": name, "role": "prompter", "text": f"And {name}?", "replies": [*replies]}


def test_every_turn_of_a_tree_is_read():
    later = follow_up("q", reply("c", 1), reply("d", 0))
    reading = read(tree(reply("a", 0, later), reply("b", 1)))
    first, second = reading.prompts.values()
    assert (list(first.answers), list(second.answers)) == (["a", "b"], ["c", "d"])
    assert turns(second) == [("user", "Why?"), ("assistant", "I am a."), ("user", "And q?")]
    assert (first.ranked(), second.ranked()) == (1, 1)
    assert reading.unused == {"tree_state": 1, "message: lang": 4}


def test_answers_without_a_rank_are_in_no_order():
    reading = read(tree(reply("a", None), reply("b", None)))
    assert (the_prompt(reading).ranked(), reading.notes[UNRANKED]) == (0, 2)


@pytest.mark.parametrize("rank", [0, 0.0, 3.0])
def test_a_rank_is_a_whole_number_however_written(rank):
    assert the_prompt(read(tree(reply("a", rank)))).answers["a"].rank == rank


MARKS = dict.fromkeys(("helpfulness", "correctness", "coherence", "complexity", "verbosity"), 2)
SIDES = {"response_1": "x", "response_2": "y"}
NUMBERS = {  # a row for each column that holds whole numbers
    "rank": {"prompt": "q", "answer": "x"},
    "rating": {"prompt": "q", "completion": "x"},
    "winner": {"prompt": "q", **SIDES},
    "helpfulness": {"prompt": "q", "response": "x", **MARKS},
    "preference_strength": {"prompt": "q", **SIDES},
    "winner_model_a": {
        "prompt": "q",
        "response_a": "x",
        "response_b": "y",
        "winner_model_b": "0.0",
        "winner_tie": 0.0,
    },
}


@pytest.mark.parametrize("column", NUMBERS)
def test_a_number_is_read_however_a_table_writes_it(column):
    """In a column with a gap, tables of numbers are written as 1.0."""
    (first, *others) = (read(NUMBERS[column] | {column: one}) for one in (1, 1.0, "1", "1.0"))
    assert (first.refusals, first.unused, first.left_out) == ([], {}, {})
    assert all([*other.prompts.values()] == [*first.prompts.values()] for other in others)


@pytest.mark.parametrize("rank", [1.5, math.nan, math.inf, -1, "first", True, 10**400])
def test_any_other_rank_is_refused_by_name(rank):
    (refusal,) = read(tree(reply("a", rank))).refusals
    assert "rank is not a whole number" in refusal


def test_a_bad_reply_costs_the_reply_and_what_follows_it():
    later = follow_up("q", reply("c", 0))
    reading = read(tree(reply("a", 0, later, text=" "), reply("b", 1), reply("d", 2)))
    assert reading.refusals == ["row 1: a reply (a) is empty"]
    (prompt,) = reading.prompts.values()
    assert list(prompt.answers) == ["b", "d"]


def test_all_that_comes_twice_or_not_at_all_is_told():
    pair = {"prompt": "Why?", "chosen": "x", "rejected": "y"}
    same = {"prompt": "How?", "chosen": "x", "rejected": "x"}
    reading = read(
        pair, pair, same, {"prompt": "Why?"}, {"prompt": "Why?", "responses": ["x", None]}
    )
    assert reading.left_out == {SAME: 1, ASKED_AGAIN: 1, AGAIN: 1, MISSING: 1}
    assert reading.notes == {SAID_AGAIN: 1}


def test_deleted_messages_are_left_out_with_their_number():
    gone = reply("a", 0, deleted=True)
    assert read(tree(gone, reply("b", 1)), tree(deleted=True)).left_out == {DELETED: 2}


def test_an_answer_may_not_come_twice_with_other_words():
    reading = read(tree(reply("a", 0)), tree(reply("a", 0, text="Else.")))
    assert reading.refusals == ["row 2: the reply a is in row 1 too, with other words"]


def exported(**columns):
    """A row as our own export writes it."""
    key = prompt_key([Message(role="user", content="Why?")])
    row = {"prompt": "Why?", "chosen": "x", "rejected": "y", "prompt_key": key, "group": ""}
    return row | {"strength": 3, "annotator": "a1", "left_won": False} | columns


def test_our_own_export_holds_labels():
    prompt = the_prompt(read(exported()))
    (label,) = prompt.labels
    assert (label.annotator, label.said) == ("a1", Preferred(1, 3))
    assert [prompt.answers[key].text for key in label.items] == ["y", "x"]
    ranked = the_prompt(read(exported(left_won=None, annotator="import", group="t1", strength=1)))
    assert (ranked.labels, ranked.pairs[0].group) == ([], "t1")


@pytest.mark.parametrize(
    ("columns", "reason"),
    [
        ({"prompt": "How?"}, "of another prompt"),
        ({"strength": 4}, "strength"),
        ({"strength": True}, "strength"),
        ({"left_won": 1}, "left_won"),
        ({"annotator": 7}, "annotator"),
        ({"group": "g" * 81}, "group"),
        ({"chosen": "y"}, "the same"),
        ({"chosen": [said("user", "x")]}, "not the assistant's"),
    ],
)
def test_an_export_that_was_changed_is_refused(columns, reason):
    (refusal,) = read(exported(**columns)).refusals
    assert reason in refusal


def test_a_label_may_be_about_an_answer_without_words():
    assert texts(the_prompt(read(exported(rejected="")))) == ["x", ""]
    assert texts(the_prompt(read({"prompt": "Why?", "chosen": "x", "rejected": ""}))) == ["x", ""]
    assert read({"prompt": "Why?", "completion": ""}).refused == 1  # nobody said anything of it


TEXTS = [
    "  a  ",
    "a\r\nb",
    "\ta\n",
    "\u00a0a\u00a0",
    "e\u0301",
    "\ufeffa",
    "a\u2028b",
    "ﬁ",
    "1969. A",
]


@pytest.mark.parametrize("text", TEXTS)
def test_texts_are_kept_byte_for_byte(text):
    for row in ({"prompt": text, "responses": [text]}, tree(reply("a", 0, text=text), text=text)):
        prompt = the_prompt(read(json.loads(json.dumps(row))))
        assert (turns(prompt)[0][1], texts(prompt)) == (text, [text])


def test_so_many_columns_are_counted_but_not_all_named():
    reading = read({"prompt": "Why?"} | {f"c{n}": n for n in range(5_000)})
    assert sum(reading.unused.values()) == 5_000
    assert len(reading.unused) == 201
    assert reading.unused[OTHERS] == 4_800


NAMES = [
    *("prompt", "messages", "instruction", "input", "question", "system", "chosen", "rejected"),
    *("responses", "completions", "answers", "answer_a", "answer_b", "response_1", "output"),
    *(
        "conversation_a",
        "conversation_b",
        "winner",
        "ranks",
        "models",
        "scores",
        "results",
        "outputs",
    ),
    *("prompt_key", "group", "strength", "annotator", "left_won", "message_tree_id", "message_id"),
    *(
        "role",
        "content",
        "from",
        "value",
        "text",
        "replies",
        "rank",
        "deleted",
        "model",
        "sampling_config",
    ),
]
WORDS = [
    "user",
    "assistant",
    "system",
    "prompter",
    "\x00",
    "\ud800",
    " ",
    "",
    "model_a",
    "\n\nHuman: a",
]
leaves = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from(WORDS)
)
messages = st.lists(
    st.fixed_dictionaries(
        {"role": st.sampled_from(["user", "assistant", "system"]), "content": st.text(max_size=5)}
    ),
    max_size=3,
)
anything = st.recursive(
    leaves | messages,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(NAMES) | st.text(max_size=3), inner, max_size=6)
    ),
    max_leaves=20,
)
rows = anything | st.dictionaries(
    st.sampled_from(NAMES), anything | messages | st.lists(st.text(max_size=3), max_size=4)
)


def everything_named(row, format):
    """A row is refused, or each of its columns is used or named."""
    try:
        name, found = row_of(row, format)
    except BadRow:
        return
    used = FORMATS[name].read(row, Found())
    if isinstance(row, dict):
        there = {key for key, value in row.items() if value is not None}
        assert there <= used | set(found.unused)
    assert found.prompts or found.bad or found.left_out


KNOWN = [
    {"answer_a": None, "": None, "prompt": "0"},  # a column without a name
    {"prompt": "a", "outputs": [[{"role": "system", "content": ""}]]},
    {"instruction": [{"role": "system", "content": " "}], "input": "b"},
    {"prompt": "a", "responses": [""], "winner": []},
]


@pytest.fixture(scope="module")
def any_rows():
    return KNOWN + drawn(rows)


@pytest.mark.parametrize("format", [GUESS, *FORMATS])
def test_every_column_is_used_or_named_and_every_row_told(format, any_rows):
    look_at_each(any_rows, lambda row: everything_named(row, format))


@pytest.mark.parametrize("format", [GUESS, *FORMATS])
def test_what_a_row_becomes_can_be_stored(format, any_rows):
    """An answer without a word too, where somebody said something of it."""
    look_at_each(any_rows, lambda row: can_be_stored(read(row, format=format)))


def can_be_stored(reading):
    assert reading.rows + reading.refused >= 1
    for prompt in reading.prompts.values():
        assert prompt.messages[-1].role == "user"
        for key, answer in prompt.answers.items():
            assert "\0" not in answer.text
            assert len(key) <= 80
            answer.text.encode()  # raises where a database would
            assert json.loads(json.dumps(dict(answer.about), allow_nan=False)) == answer.about
        for pair in prompt.pairs:
            assert {pair.better, pair.worse} <= set(prompt.answers)


@pytest.mark.parametrize("said", [None, "", [], {}])
def test_an_answer_without_a_word_of_which_nothing_is_said_is_refused(said):
    reading = read({"prompt": "a", "responses": [""], "winner": said})
    assert reading.refused == 1
    assert not any(prompt.answers for prompt in reading.prompts.values())


@given(text=st.text(min_size=1).filter(lambda text: text.strip() and "\0" not in text))
def test_any_text_is_the_same_answer(text):
    prompt = the_prompt(read({"prompt": "Why?", "responses": [text]}))
    assert texts(prompt) == [text]
    assert list(prompt.answers) == [content_key(text)]


COLUMNS = st.tuples(
    st.sampled_from(["answer_", "answer", "response_", "response", "completion_", "output_"]),
    st.sampled_from(["ab", "cd", "01", "12", "ax", ["2", "10"], ["09", "10"]]),
)


@given(COLUMNS, st.integers(0, 1), st.sampled_from(["", "model_", "{}", "UP"]), st.randoms())
def test_a_winner_is_the_answer_of_its_side_wherever_the_columns_stand(
    columns, place, written, random
):
    stem, sides = columns
    side = sides[place]
    winner = {"": side, "model_": f"model_{side}", "{}": stem + side, "UP": side.upper()}[written]
    row = {"prompt": "q", f"{stem}{sides[0]}": "x", f"{stem}{sides[1]}": "y", "winner": winner}
    names = list(row)
    random.shuffle(names)
    reading = read({name: row[name] for name in names})
    assert preferred(the_prompt(reading)) == [("xy"[place], "yx"[place])]
    assert not reading.left_out


@pytest.mark.parametrize("winner", [1, 1.0, "1", "1.0", "response_1", "Response_1", " 1 ", "01"])
def test_a_winner_may_be_a_number_or_a_column(winner):
    row = {"prompt": "q", "response_2": "y", "response_1": "x", "winner": winner}
    assert preferred(the_prompt(read(row))) == [("x", "y")]


@pytest.mark.parametrize("winner", ["c", "model_c", "1", 1, 0, "answer", "gpt-4", "a>b", True])
def test_a_winner_that_names_neither_answer_is_no_tie(winner):
    reading = read({"prompt": "q", "answer_a": "x", "answer_b": "y", "winner": winner})
    assert the_prompt(reading).pairs == []
    assert reading.left_out == {UNKNOWN + str(winner): 1}


@pytest.mark.parametrize("winner", ["a", "b", "model_a"])
def test_columns_of_other_sides_are_not_won_by_their_place(winner):
    reading = read({"prompt": "q", "answer_c": "x", "answer_d": "y", "winner": winner})
    assert (the_prompt(reading).pairs, list(reading.left_out)) == ([], [UNKNOWN + winner])


@pytest.mark.parametrize("winner", ["tie", "Tie", "tie (bothbad)", "both", "draw", "equal"])
def test_a_tie_is_what_is_called_one(winner):
    reading = read({"prompt": "q", "answer_a": "x", "answer_b": "y", "winner": winner})
    (label,) = the_prompt(reading).labels
    assert label.said == Tied(both_bad="bad" in winner)


def test_so_many_unknown_winners_are_counted_but_not_all_named():
    row = {"prompt": "q", "answer_a": "x", "answer_b": "y"}
    left_out = read(*[row | {"winner": f"model number {n}"} for n in range(500)]).left_out
    assert sum(n for name, n in left_out.items() if name.startswith(UNKNOWN)) == 500
    assert len(left_out) < 50


SPOKEN = [
    *("answer_a", "answer_b", "answer_c", "response_1", "response_2", "response_10", "responses"),
    *("completion", "winner", "ranks", "model_a", "score_1", "answer_a_score", "system", "chosen"),
    *("rejected", "instruction", "question", "answer", "models"),
]
CELLS = ["x", "y", "a", "1", "model_b", None, ["x", "y"], [0, 1], {"text": "z", "rank": 1}]


@settings(max_examples=300)
@given(
    row=st.dictionaries(st.sampled_from(SPOKEN), st.sampled_from(CELLS), min_size=3),
    order=st.randoms(),
)
def test_the_order_of_columns_never_changes_what_is_read(row, order):
    names = ["prompt", *row]
    row["prompt"] = "q"
    order.shuffle(names)
    first, second = read(dict(sorted(row.items()))), read({name: row[name] for name in names})
    assert first == second
    for one, two in zip(first.prompts.values(), second.prompts.values(), strict=True):
        assert list(one.answers) == list(two.answers)
        assert abouts(one) == abouts(two)


def test_a_decision_between_equal_answers_is_told():
    talk = [said("user", "Why?"), said("assistant", "x")]
    arena = {"conversation_a": talk, "conversation_b": talk, "winner": "model_a"}
    sides = {"prompt": "q", "answer_a": "x", "answer_b": "x", "winner": "b"}
    ranks = {"prompt": "q", "responses": ["x", "x", "y"], "ranks": [0, 1, 2]}
    for row in (arena, sides, ranks):
        assert read(row).left_out[EQUAL] == 1


@pytest.mark.parametrize(
    "columns",
    [
        {"answer_a": "x", "answer_b": None},
        {"response_2": None, "response_1": "x"},
        {"responses": ["x", None]},
        {"responses": None},
        {"completion": None},
        {"chosen": "x", "rejected": None},
    ],
)
def test_an_answer_that_is_missing_is_told(columns):
    reading = read({"prompt": "q"} | columns)
    assert len(reading.prompts) == 1
    assert reading.left_out == {MISSING: 1}


def test_a_winner_over_a_missing_answer_is_told():
    reading = read({"prompt": "q", "answer_a": "x", "answer_b": None, "winner": "a"})
    assert reading.left_out == {MISSING: 1, HALF: 1}


@pytest.mark.parametrize("name", ["responses", "completions", "answers", "outputs"])
def test_a_list_that_is_text_is_a_list_or_a_bad_row(name):
    assert texts(the_prompt(read({"prompt": "q", name: '["x", "y"]'}))) == ["x", "y"]
    for text in ("['x', 'y']", "['x' 'y']"):
        (refusal,) = read({"prompt": "q", name: text}).refusals
        assert "Python's way" in refusal
    (refusal,) = read({"prompt": "q", name: "gold"}).refusals
    assert f"“{name}” is not a list" in refusal


def test_a_plural_is_no_side():
    reading = read({"prompt": "q", "completion": "x", "answers": "gold", "outputs": "o"})
    assert texts(the_prompt(reading)) == ["x"]
    assert set(reading.unused) == {"answers", "outputs"}


BEGIN = "\n\nHuman: Hi\n\nAssistant:"


@pytest.mark.parametrize("prompt", [BEGIN, "Hi", [said("user", "Hi")]])
@pytest.mark.parametrize("names", [("chosen", "rejected"), ("answer_a", "answer_b")])
def test_a_transcript_that_begins_with_its_prompt_is_its_last_turn(prompt, names):
    row = {"prompt": prompt, names[0]: f"{BEGIN} x", names[1]: f"{BEGIN} y"}
    reading = read(row)
    assert (turns(the_prompt(reading)), texts(the_prompt(reading))) == (
        [("user", "Hi")],
        ["x", "y"],
    )
    assert reading.notes[AS_TURNS]


def test_a_transcript_that_goes_on_after_its_prompt_brings_the_turns_between():
    begin = f"{BEGIN} Yes?\n\nHuman: And?\n\nAssistant:"
    prompt = the_prompt(read({"prompt": BEGIN, "chosen": f"{begin} x", "rejected": f"{begin} y"}))
    assert turns(prompt) == [("user", "Hi"), ("assistant", "Yes?"), ("user", "And?")]
    assert preferred(prompt) == [("x", "y")]


def test_a_transcript_of_other_turns_is_kept_and_said():
    row = {"prompt": "Else?", "chosen": f"{BEGIN} x", "rejected": "y"}
    reading = read(row)
    assert texts(the_prompt(reading)) == [f"{BEGIN} x", "y"]
    assert reading.notes == {WHOLE: 1}


def test_answers_that_repeat_the_prompt_are_said():
    reading = read({"prompt": "Hi you", "chosen": "Hi you: x", "rejected": "Hi you: y"})
    assert reading.notes == {REPEATED: 1}
