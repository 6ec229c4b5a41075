"""Rows as their data sets' documentation shows them, on the command line's reader and on the web app's."""

import json
from contextlib import suppress

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from alignment.__main__ import main
from alignment.command_line import trl_rows
from alignment.command_line.trl_rows import Told
from alignment.rows.found import Preferred
from alignment.rows.json_lines import Row
from alignment.seam.errors import DataError
from alignment.seam.records import prompt_key
from tests.alignment.test_loop import SMALL
from tests.cases import cases
from webapp.datasets.exports import EXPORTS
from webapp.datasets.exports.columns import ColumnGroup
from webapp.datasets.exports.pairs import PREFERENCES
from webapp.datasets.imports.reading import read_rows

SIDES = {"chosen": "good good", "rejected": "bad"}
ASK, YES, NO = "Why is the sky blue?", "Because light scatters.", "No idea."
HI = "\n\nHuman: Hi\n\nAssistant: Hello.\n\nHuman: Two\n\nlines?\n\nAssistant:"
TURNS = [("user", "Hi"), ("assistant", "Hello."), ("user", "Two\n\nlines?")]


def user(text):
    return {"role": "user", "content": text}


def assistant(text):
    return {"role": "assistant", "content": text}


def parts(*texts):
    return [{"type": "text", "text": text} for text in texts]


ULTRAFEEDBACK = {
    "prompt": ASK,
    "prompt_id": "f0e37e9f7800261167ce91143f98f511f768847236f133f2d0aed60b444ebe57",
    "chosen": [user(ASK), assistant(YES)],
    "rejected": [user(ASK), assistant(NO)],
    "messages": [user(ASK), assistant(YES)],
    "score_chosen": 8.5,
    "score_rejected": 2.0,
}
SHAREGPT = [{"from": "human", "value": ASK}]
PAIRS = {
    "ultrafeedback_binarized": ULTRAFEEDBACK,
    "its prompt with another end": ULTRAFEEDBACK | {"prompt": f"{ASK}\n"},
    "trl, prompt apart": {"prompt": [user(ASK)], "chosen": [assistant(YES)], "rejected": [assistant(NO)]},
    "trl, prompt within": {"chosen": [user(ASK), assistant(YES)], "rejected": [user(ASK), assistant(NO)]},
    "parts": {
        "prompt": [{"role": "user", "content": parts("Why is ", "the sky blue?")}],
        "chosen": [{"role": "assistant", "content": parts(YES)}],
        "rejected": [{"role": "assistant", "content": parts(NO)}],
    },
    "nulls of Arrow": {
        "prompt": [user(ASK) | {"tool_calls": None}],
        "chosen": [assistant(YES) | {"tool_calls": None}],
        "rejected": [assistant(NO) | {"tool_calls": []}],
    },
    "argilla, two ratings": {
        "input": ASK, "chosen": YES, "rejected": NO, "rating": [9.0, 7.0], "order": ["a", "b"],
    },
    "a rating and a label": {"prompt": ASK, "chosen": YES, "rejected": NO, "rating": 4, "label": True},
    "argilla, responses": {
        "instruction": ASK, "chosen_response": YES, "rejected_response": NO, "chosen_rating": 5,
    },
    "orca": {"question": ASK, "chosen": YES, "rejected": NO},
    "query": {"query": ASK, "chosen": YES, "rejected": NO},
    "sharegpt": {
        "conversations": SHAREGPT,
        "chosen": {"from": "gpt", "value": YES},
        "rejected": {"from": "gpt", "value": NO},
    },
    "hh, one turn": {
        "chosen": f"\n\nHuman: {ASK}\n\nAssistant: {YES}",
        "rejected": f"\n\nHuman: {ASK}\n\nAssistant: {NO}",
    },
    "hh, stripped": {
        "chosen": f"Human: {ASK}\n\nAssistant: {YES}",
        "rejected": f"Human: {ASK}\n\nAssistant: {NO}",
    },
    "hh, prompt apart": {
        "prompt": f"\n\nHuman: {ASK}\n\nAssistant:", "response": YES, "chosen": f" {YES}", "rejected": f" {NO}",
    },
    "answers and a winner": {"question": ASK, "answer_a": NO, "answer_b": YES, "winner": "b"},
    "two ranks": {"prompt": ASK, "completions": [NO, YES], "ranks": [1, 0]},
}  # fmt: skip


@pytest.fixture
def read(tmp_path):
    def read(reader, *rows, **settings):
        path = tmp_path / "rows.jsonl"
        path.write_text("\n".join(json.dumps(row) for row in rows))
        told = Told(**settings)
        return list(reader(path, told)), told

    return read


def in_the_web(row):
    """The pairs of turns and texts that the web app's import finds in a row."""
    reading = read_rows([Row("row 1", row)])
    assert not reading.refusals
    for prompt in reading.prompts.values():
        texts = {answer.key: answer.text for answer in prompt.answers.values()}
        for pair in prompt.pairs:
            yield prompt.messages, texts[pair.better], texts[pair.worse]
        for label in prompt.labels:
            if isinstance(label.said, Preferred):
                best = label.said.position
                yield prompt.messages, texts[label.items[best]], texts[label.items[1 - best]]


@pytest.mark.parametrize("name", PAIRS)
def test_a_documented_pair_is_one_whatever_stands_beside_it(read, name):
    (pair,), _ = read(trl_rows.pairs, PAIRS[name])
    assert [(turn.role, turn.content) for turn in pair.prompt.messages] == [("user", ASK)]
    assert (pair.chosen, pair.rejected) == (YES, NO)


@pytest.mark.parametrize("name", PAIRS)
def test_a_documented_label_is_of_the_kind_that_its_answers_say(read, name):
    (label,), _ = read(trl_rows.labels, PAIRS[name])
    assert label.kind == ("ranking" if "ranks" in PAIRS[name] else "pair")


@pytest.mark.parametrize("name", PAIRS)
def test_the_web_app_reads_a_pair_as_the_command_line_does(read, name):
    ((turns, chosen, rejected),) = in_the_web(PAIRS[name])
    (pair,), _ = read(trl_rows.pairs, PAIRS[name])
    assert [turn.content.strip() for turn in turns] == [
        turn.content for turn in pair.prompt.messages
    ]
    assert (chosen.strip(), rejected.strip()) == (pair.chosen, pair.rejected)


@pytest.mark.parametrize("name", PAIRS)
def test_what_a_documented_pair_asks_is_a_prompt(read, name):
    (prompt,), told = read(trl_rows.prompts, PAIRS[name])
    assert [(turn.role, turn.content) for turn in prompt.messages] == [("user", ASK)]
    assert told.left_out


WORDY = st.sampled_from(
    ["yes", " no", "", "a b", "a c\n", HI, f"{HI} yes", f"{HI} no", f"{HI} a\n\nHuman: b"]
)
MESSAGE = st.builds(
    lambda role, content: {"role": role, "content": content},
    st.sampled_from(["user", "assistant", "system", "tool"]),
    WORDY | WORDY.map(parts) | st.none(),
)
TALK = st.lists(MESSAGE, max_size=3)
EITHER = WORDY | TALK | MESSAGE
PREFERRED = st.fixed_dictionaries(
    {"chosen": EITHER, "rejected": EITHER},
    optional={"prompt": EITHER, "messages": TALK, "conversations": TALK, "system": WORDY, "rating": WORDY},
) | st.fixed_dictionaries(
    {"question": WORDY, "answer_a": EITHER, "answer_b": EITHER, "winner": st.sampled_from(["a", "b", "tie", None])}
)  # fmt: skip

SPACED = st.sampled_from(["yes", " no", "no", "", " ", "a\n\nb", "a\n\nc "])


def written_as(form, asked, answers):
    """A pair in a form of the field's: whole conversations, a prompt apart, or transcripts."""
    talk = [message(text) for message, text in zip([user, assistant] * 2, asked, strict=False)]
    heard = "".join(f"\n\n{('Human', 'Assistant')[n % 2]}: {text}" for n, text in enumerate(asked))
    sides = {
        "lists": [[*talk, assistant(text)] for text in answers],
        "transcripts": [f"{heard}\n\nAssistant: {text}" for text in answers],
        "texts": answers,
        "messages": [[assistant(text)] for text in answers],
    }[form.split()[0]]
    apart = {
        "apart": {"prompt": talk},
        "text": {"prompt": asked[-1]},
        "heard": {"prompt": f"{heard}\n\nAssistant:"},
    }
    return dict(zip(SIDES, sides, strict=True)) | apart.get(form.split()[1], {})


FORMS = st.sampled_from(
    ["lists within", "lists apart", "lists text", "transcripts within", "transcripts heard", "transcripts apart",
     "texts apart", "texts text", "texts heard", "messages apart", "messages heard"]
)  # fmt: skip
ASKED = st.lists(SPACED.filter(str.strip), min_size=1, max_size=3).filter(
    lambda asked: len(asked) % 2
)
PREFERRED |= st.builds(written_as, FORMS, ASKED, st.tuples(SPACED, SPACED))


@given(PREFERRED)
def test_whatever_one_reader_takes_for_a_pair_the_other_does(row):
    reading = read_rows([Row("row 1", row)])
    try:
        found = list(trl_rows.pairs_of(row, trl_rows.Found()))
    except trl_rows.BadRow:
        assert reading.refusals or not any(in_the_web(row))
        return
    assert not reading.refusals
    ours = [([t.content for t in one.prompt.messages], one.chosen, one.rejected) for one in found]
    web = [([t.content for t in turns], a, b) for turns, a, b in in_the_web(row)]
    assert distinct(ours) == distinct(web)


def distinct(pairs):
    """The pairs whose answers differ in more than spaces, without those around their texts."""
    return [one for one in map(stripped, pairs) if one[1] != one[2]]


def stripped(pair):
    turns, chosen, rejected = pair
    return [turn.strip() for turn in turns], chosen.strip(), rejected.strip()


DEMONSTRATIONS = {
    "alpaca": {"instruction": "Why is the", "input": "sky blue?", "output": YES, "text": "Below …"},
    "dolly": {"instruction": ASK, "context": "", "response": YES, "category": "open_qa"},
    "orca": {"system_prompt": "", "question": ASK, "response": YES},
    "metamath": {"query": ASK, "response": YES, "type": "x"},
    "sharegpt": {"conversations": [*SHAREGPT, {"from": "gpt", "value": YES}]},
    "no_robots": {"prompt": ASK, "prompt_id": "a", "messages": [user(ASK), assistant(YES)], "category": "QA"},
    "ultrafeedback": ULTRAFEEDBACK,
    "parts": {"messages": [user(parts(ASK)), assistant(parts(YES))]},
}  # fmt: skip


@pytest.mark.parametrize("name", DEMONSTRATIONS)
def test_a_documented_demonstration(read, name):
    (record,), _ = read(trl_rows.demonstrations, DEMONSTRATIONS[name])
    asked = record.prompt.text.replace("\n\n", " ")
    assert (asked, record.completion) == (ASK, YES)


@pytest.mark.parametrize("name", [name for name in DEMONSTRATIONS if name != "ultrafeedback"])
def test_the_web_app_reads_a_demonstration_as_the_command_line_does(read, name):
    (prompt,) = read_rows([Row("row 1", DEMONSTRATIONS[name])]).prompts.values()
    (record,), _ = read(trl_rows.demonstrations, DEMONSTRATIONS[name])
    (answer,) = prompt.answers.values()
    assert (prompt.messages, answer.text) == (record.prompt.messages, record.completion)


def test_a_transcript_becomes_turns(read):
    row = {"chosen": f"{HI} Yes, that.", "rejected": f"{HI} Yes, this."}
    (pair,), told = read(trl_rows.pairs, row)
    assert [(turn.role, turn.content) for turn in pair.prompt.messages] == TURNS
    assert (pair.chosen, pair.rejected) == ("Yes, that.", "Yes, this.")  # never parted within
    assert told.notes


WORDS = st.lists(st.sampled_from(["yes", "no", "sky", "Human", "a:"]), min_size=1, max_size=4)
LINES = st.lists(WORDS.map(" ".join), min_size=1, max_size=2).map("\n\n".join)


@given(st.lists(st.tuples(LINES, LINES), max_size=2), LINES, LINES, LINES | st.just(""))
def test_the_prompt_of_two_transcripts_ends_where_the_answers_begin(before, last, one, other):
    talk = "".join(f"\n\nHuman: {asked}\n\nAssistant: {said}" for asked, said in before)
    talk += f"\n\nHuman: {last}\n\nAssistant:"
    row = {"chosen": f"{talk} {one} {one}", "rejected": f"{talk} {one} {other}".rstrip(" ")}
    found = list(trl_rows.pairs_of(row, trl_rows.Found()))
    if row["chosen"] == row["rejected"]:
        return
    (pair,) = found
    assert pair.chosen == f"{one} {one}"
    assert pair.rejected == f"{one} {other}".rstrip(" ")
    turns = [text for both in before for text in both]
    assert [turn.content for turn in pair.prompt.messages] == [*turns, last]


@pytest.mark.parametrize("side", ["chosen", "rejected"])
@pytest.mark.parametrize("empty", ["", " "])
def test_an_empty_answer_of_a_transcript_is_an_answer(read, side, empty):
    row = {"chosen": f"{HI} Yes.", "rejected": f"{HI} No."} | {side: f"{HI}{empty}"}
    (pair,), _ = read(trl_rows.pairs, row)
    assert getattr(pair, side) == ""
    assert len(pair.prompt.messages) == 3


def test_a_speaker_who_goes_on_is_one_turn(read):
    talk = "\n\nHuman: Hi\n\nHuman: you\n\nAssistant:"
    (pair,), told = read(
        trl_rows.pairs, {"chosen": f"{talk} A\n\nAssistant: B", "rejected": f"{talk} A"}
    )
    assert pair.prompt.text == "Hi\n\nyou"
    assert (pair.chosen, pair.rejected) == ("A\n\nB", "A")
    assert any("one speaker" in note for note in told.notes)


NOT_READ = {
    "an image": ({"prompt": [user([{"type": "image"}])], "chosen": "a", "rejected": "b"}, "“image”"),
    "a role": (
        {"messages": [user("a"), {"role": "critic", "content": "1"}, assistant("b")]}, "but “critic”",
    ),
    "a call": (
        {"messages": [user("a"), {"role": "assistant", "content": None, "tool_calls": [{}]}]},
        "name of a tool",
    ),
    "a call with words": (
        {"messages": [user("a"), assistant("b") | {"tool_calls": [{"name": "f"}]}]}, "calls a tool",
    ),
    "sides that part early": (
        {"chosen": f"{HI} a\n\nHuman: x\n\nAssistant: y", "rejected": f"{HI} b"},
        "part before their last turn",
    ),
    "a side that a person ends": (
        {"chosen": f"{HI} a\n\nHuman: x", "rejected": f"{HI} b"}, "end with the assistant's turn",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", NOT_READ)
def test_what_cannot_be_read_is_refused_for_its_true_reason_everywhere(read, name):
    row, reason = NOT_READ[name]
    reader = trl_rows.pairs if "chosen" in row else trl_rows.demonstrations
    with pytest.raises(DataError, match=reason):
        read(reader, row)
    assert reason in read_rows([Row("row 1", row)]).refusals[0]
    found, told = read(reader, PAIRS["orca"] | DEMONSTRATIONS["orca"], row, leave_out=True)
    assert (len(found), told.rows, told.bad.total()) == (1, 2, 1)
    assert any(reason in sentence for sentence in told.sentences("f", "rows"))


def test_a_demonstration_without_a_word_is_left_out_and_counted(read):
    found, told = read(
        trl_rows.demonstrations,
        {"prompt": ASK, "completion": " "},
        {"prompt": ASK, "completion": YES},
    )
    assert len(found) == 1
    assert told.left_out[trl_rows.SILENT] == 1


@pytest.mark.parametrize(
    ("reader", "row"),
    [
        (trl_rows.thumbs, {"prompt": ASK, "completion": "", "label": False}),
        (trl_rows.labels, {"prompt": ASK, "completion": "", "rating": 1}),
        (trl_rows.labels, {"prompt": ASK, "completions": ["", YES], "ranks": [1, 0]}),
        (trl_rows.labels, {"prompt": ASK, "left": "", "right": [assistant("")]}),
        (trl_rows.stored, {"prompt": ASK, "completion": [assistant("")]}),
    ],
)
def test_an_empty_answer_that_somebody_judged_or_a_model_gave_is_an_answer(read, reader, row):
    (record,), told = read(reader, row)
    assert not told.left_out
    assert "" in (
        getattr(record, "completion", None),
        getattr(record, "left", None),
        *getattr(record, "completions", ()),
    )


def test_columns_that_nothing_is_made_of_are_told(read):
    _, told = read(trl_rows.labels, PAIRS["a rating and a label"], ULTRAFEEDBACK)
    assert set(told.unused) == {"rating", "label", "prompt_id", "messages", "score of an answer"}


NAMES = st.sampled_from(["id", "rating", "label", "source", "text", "meta", "Rating", "score"])
EXTRA = st.dictionaries(NAMES, st.none() | st.booleans() | st.integers(1, 5) | st.text(max_size=3))


@given(st.sampled_from(list(PAIRS)), EXTRA, st.randoms())
def test_a_pair_stays_a_pair_among_other_columns_in_any_order(name, extra, rng):
    row = list(({**extra, **PAIRS[name]}).items())
    rng.shuffle(row)
    (pair,) = trl_rows.pairs_of(dict(row), trl_rows.Found())
    assert (pair.prompt.text, pair.chosen, pair.rejected) == (ASK, YES, NO)
    if "ranks" not in PAIRS[name]:
        (label,) = trl_rows.labels_of(dict(row), trl_rows.Found())
        assert label.kind == "pair"


SAYING = st.text(max_size=6).map(lambda text: text.replace("\0", "")) | st.sampled_from(
    ["", " ", "a ", "a\r\n", "\u2028", "\n\nHuman: a", HI]
)
ASKING = SAYING.filter(str.strip)
TALKS = st.lists(st.tuples(ASKING, ASKING), max_size=2)


@given(TALKS, ASKING, SAYING, SAYING, st.booleans())
def test_what_we_export_comes_back_as_it_was(before, last, chosen, rejected, lists):
    turns = [t for q, a in before for t in (user(q), assistant(a))] + [user(last)]
    if chosen == rejected or not (lists or len(turns) == 1):
        return
    prompt = trl_rows.PromptRecord(key="", messages=turns)
    prompt = prompt.model_copy(update={"key": prompt_key(prompt.messages)})
    facts = {"strength": 2, "annotator": "a1", "left_won": False, "group": ""}
    pair = trl_rows.PairRecord(prompt=prompt, chosen=chosen, rejected=rejected, **facts)
    form = EXPORTS[f"trl_preference_{'conversational' if lists else 'plain'}"]
    messages = json.dumps([turn.model_dump() for turn in prompt.messages])
    said = {
        "row": 0,
        "messages": messages,
        "prompt_key": prompt.key,
        "chosen": chosen,
        "rejected": rejected,
    }
    batch = pa.RecordBatch.from_pylist([said | facts], schema=PREFERENCES.schema)
    (line,) = ColumnGroup(form.columns(batch), 1).lines()
    row = json.loads(line)
    assert list(trl_rows.pairs_of(row, trl_rows.Found())) == [pair]
    assert list(in_the_web(row)) == [(prompt.messages, chosen, rejected)]


LEAF = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4) | st.just(HI)
ANY = st.recursive(
    LEAF,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["role", "content", "from", "value", "type", "text"]), inner, max_size=3
        )
    ),
    max_leaves=8,
)
COLUMNS = st.sampled_from(
    [
        "prompt",
        "messages",
        "conversations",
        "chosen",
        "rejected",
        "completion",
        "completions",
        "ranks",
        "rating",
        "label",
        "left",
        "right",
        "winner",
        "answer_a",
        "answer_b",
        "levels",
        "strength",
        "truncated",
        "input",
        "results",
    ]
)
READERS = ["prompts", "demonstrations", "pairs", "labels", "stored", "thumbs"]


@given(st.sampled_from(READERS), st.dictionaries(COLUMNS, ANY, max_size=6) | ANY)
def test_whatever_a_row_holds_it_is_read_or_refused_with_a_reason(reader, row):
    with suppress(trl_rows.BadRow, ValidationError):
        trl_rows._row(row, text=reader == "prompts")
        list(getattr(trl_rows, f"{reader}_of")(row, trl_rows.Found()))


def hh(number, *, chosen="good", rejected="bad"):
    """A pair of HH-RLHF's of two questions, whose answers begin alike."""
    talk = f"\n\nHuman: {ONE[number % 5]} day\n\nAssistant: {ONE[number % 3]}"
    talk += f"\n\nHuman: {ONE[number // 5 % 5]} {ONE[number % 5]}\n\nAssistant:"
    return {"chosen": f"{talk} day {chosen}", "rejected": f"{talk} day {rejected}"}


def uf(number):
    """A row of UltraFeedback binarized."""
    asked = f"{ONE[number % 5]} {ONE[number // 5]}"
    sides = {side: [user(asked), assistant(word)] for side, word in SIDES.items()}
    return {"prompt": asked, "prompt_id": str(number), **sides, "messages": sides["chosen"],
            "score_chosen": 8.0, "score_rejected": 3.5}  # fmt: skip


ONE = ["sun", "rain", "day", "night", "please"]
LONG_ONE = {"chosen": "\n\nHuman: " + "sun " * 40 + "\n\nAssistant: good", "rejected": "\n\nHuman: "
            + "sun " * 40 + "\n\nAssistant: bad"}  # fmt: skip
SETS = {
    "hh": [
        *(hh(n) for n in range(20)),
        hh(20, rejected=""),
        {
            "chosen": hh(21)["chosen"],
            "rejected": hh(21)["rejected"] + "\n\nHuman: a\n\nAssistant: b",
        },
        LONG_ONE,
    ],
    "ultrafeedback": [uf(n) for n in range(24)],
}
TOLD = {
    "hh": (
        "23 rows read, 22 {}, 1 left out because they cannot be read.",
        "rows.jsonl: 1 left out: “chosen” and “rejected” part before their last turn.",
        "{}: 22 read, 1 dropped, as too long for a context of 32 tokens",
    ),
    "ultrafeedback": (
        "24 rows read, 24 {}.",
        "columns that nothing is made of, and in how many rows: ",
        "rows.jsonl: ",
    ),
}


@cases("name", SETS)
def test_what_the_field_brings_goes_through_reward_prefer_and_align(
    name, tmp_path, policy_folder, capsys
):
    rows, folder = tmp_path / "rows.jsonl", str(policy_folder)
    rows.write_text("\n".join(map(json.dumps, SETS[name])))
    reward = ["--backbone", folder, "--pairs", rows, "--epochs", "1"]
    loop = [f"--{name.replace('_', '-')}={value}" for name, value in SMALL.items()]
    models = ["--policy", folder, "--reward", tmp_path / "reward", "--prompts", rows]
    commands = {
        "reward": ("pairs", "labels", reward),
        "prefer": ("pairs", "pairs", ["--policy", folder, "--pairs", rows]),
        "align": ("prompts", "prompts", [*models, *loop, "--steps", 1]),
    }
    for command, (role, fitted, options) in commands.items():
        given = [*options, "--leave-bad-rows-out", "--output", tmp_path / command]
        assert main([command, *map(str, given)]) == 0
        said = capsys.readouterr().err
        read, left, long = TOLD[name]
        assert f"rows.jsonl: {read.format(role)}" in said
        assert left in said
        assert long.format(fitted) in said
    refused = ["reward", *map(str, reward), "--output", str(tmp_path / "refused")]
    assert main(refused) == (3 if name == "hh" else 0)
    if name == "hh":
        assert "rows.jsonl, line 22: " in (said := capsys.readouterr().err)
        assert "--leave-bad-rows-out" in said
