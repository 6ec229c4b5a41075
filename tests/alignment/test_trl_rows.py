"""Rows of TRL's formats, typed as its documentation shows them, read as ours."""

import json

import pytest

from alignment.command_line import trl_rows
from alignment.seam.errors import DataError
from alignment.seam.records import CompletionRecord, Message, PromptRecord, prompt_key

SKY, BLUE, GREEN = "What color is the sky?", "It is blue.", "It is green."
ASKED = [{"role": "user", "content": SKY}]
SAID = [{"role": "assistant", "content": BLUE}]
WRONG = [{"role": "assistant", "content": GREEN}]
TURNS = (Message(role="user", content=SKY),)
PROMPT = PromptRecord(key=prompt_key(TURNS), messages=TURNS)
TALK = [
    {"role": "system", "content": "Be brief."},
    *ASKED,
    *SAID,
    {"role": "user", "content": "Why?"},
]


@pytest.fixture
def read(tmp_path):
    def read(reader, *rows):
        path = tmp_path / "rows.jsonl"
        lines = (row if isinstance(row, bytes) else json.dumps(row).encode() for row in rows)
        path.write_bytes(b"\n".join(lines))
        return list(reader(path))

    return read


@pytest.mark.parametrize("row", [{"prompt": SKY}, {"prompt": ASKED}, SKY], ids=str)
def test_prompts_alone(read, row):
    assert read(trl_rows.prompts, row) == [PROMPT]


def test_a_conversation_stays_whole(read):
    (prompt,) = read(trl_rows.prompts, {"prompt": TALK})
    assert [turn.model_dump() for turn in prompt.messages] == TALK


@pytest.mark.parametrize(
    "row",
    [
        {"prompt": SKY, "completion": f" {BLUE}\n"},
        {"prompt": ASKED, "completion": SAID},
        {"messages": ASKED + SAID},
    ],
    ids=str,
)
def test_prompts_with_completions(read, row):
    (record,) = read(trl_rows.demonstrations, row)
    assert (record.prompt, record.completion) == (PROMPT, BLUE)


@pytest.mark.parametrize(
    "row",
    [
        {"prompt": SKY, "chosen": " " + BLUE, "rejected": " " + GREEN},
        {"prompt": ASKED, "chosen": SAID, "rejected": WRONG},
        {"chosen": ASKED + SAID, "rejected": ASKED + WRONG},
    ],
    ids=str,
)
def test_preferences(read, row):
    (record,) = read(trl_rows.pairs, row)
    assert (record.prompt, record.chosen, record.rejected) == (PROMPT, BLUE, GREEN)
    assert record.strength == 1


def test_texts_share_whole_words_as_their_prompt(read):
    (record,) = read(
        trl_rows.pairs, {"chosen": "The sky is blue.", "rejected": "The sky is black."}
    )
    assert (record.prompt.text, record.chosen, record.rejected) == ("The sky is", "blue.", "black.")


def test_what_our_exports_say_of_a_pair_is_kept(read):
    row = {"prompt": SKY, "chosen": BLUE, "rejected": GREEN, "strength": 3, "annotator": "a1"}
    more = {"group": "g", "left_won": False, "prompt_key": "ignored"}
    (record,) = read(trl_rows.pairs, row | more)
    assert (record.strength, record.annotator, record.group) == (3, "a1", "g")
    assert record.left_won is False


@pytest.mark.parametrize(
    ("row", "good"),
    [
        ({"prompt": SKY, "completion": BLUE, "label": True}, True),
        ({"prompt": ASKED, "completion": SAID, "label": False}, False),
    ],
    ids=str,
)
def test_thumbs(read, row, good):
    (record,) = read(trl_rows.thumbs, row)
    assert (record.prompt, record.completion, record.good) == (PROMPT, BLUE, good)


def test_labels_of_all_kinds_in_one_file(read):
    rows = [
        {"prompt": SKY, "chosen": BLUE, "rejected": GREEN},
        {"prompt": SKY, "completion": BLUE, "label": True, "annotator": "a1"},
        {"prompt": ASKED, "completion": SAID, "rating": 4, "levels": 7},
        {"prompt": SKY, "completions": [BLUE, WRONG], "ranks": [0, 1], "annotator": "a1"},
        {"prompt": SKY, "left": BLUE, "right": WRONG, "both_bad": True, "annotator": "a2"},
    ]
    found = read(trl_rows.labels, *rows)
    assert [label.kind for label in found] == ["pair", "thumb", "rating", "ranking", "tie"]
    assert (found[1].good, found[1].annotator) == (True, "a1")
    assert (found[2].rating, found[2].levels, found[2].completion) == (4, 7, BLUE)
    assert (found[3].completions, found[3].ranks) == ((BLUE, GREEN), (0, 1))
    tie = found[4]
    assert (tie.left, tie.right, tie.both_bad, tie.annotator) == (BLUE, GREEN, True, "a2")


REFUSED = [
    (trl_rows.labels, {"prompt": SKY, "completion": BLUE, "rating": 6}, "a rating of 6 on a scale"),
    (trl_rows.labels, {"prompt": SKY, "completions": [BLUE], "ranks": [0, 1]}, "“completions”: "),
    (trl_rows.labels, {"prompt": SKY, "completions": BLUE, "ranks": [0]}, "is not a list"),
    (trl_rows.labels, {"prompt": SKY, "completion": BLUE}, "no “chosen” among"),
    (trl_rows.prompts, {"text": "Once"}, "no “prompt”, and “text” holds a whole text"),
    (trl_rows.prompts, {"words": SKY}, "no “prompt” among its columns: words"),
    (trl_rows.prompts, {}, "columns: none"),
    (trl_rows.prompts, {"prompt": ASKED + SAID}, "the last message is not the user's"),
    (trl_rows.prompts, {"prompt": []}, "not a string, and not a list of messages"),
    (trl_rows.prompts, {"prompt": 3}, "not a string, and not a list of messages"),
    (trl_rows.prompts, {"prompt": " "}, "a message is empty"),
    (trl_rows.prompts, {"prompt": [{"role": "user", "content": [{"type": "image"}]}]}, "not text, but “image”"),
    (trl_rows.prompts, {"prompt": [{"role": "critic", "content": "x"}]}, "or tool, but “critic”"),
    (trl_rows.prompts, {"prompt": ["x"]}, "not an object with role and content"),
    (trl_rows.prompts, [SKY], "not a JSON object"),
    (trl_rows.prompts, b'{"prompt": ', "not JSON: Expecting value at character 11"),
    (trl_rows.pairs, SKY, "not a JSON object"),
    (trl_rows.pairs, {"prompt": SKY, "chosen": BLUE}, "no “rejected” among"),
    (trl_rows.pairs, {"chosen": BLUE, "rejected": WRONG}, "are not both texts, and not both lists"),
    (trl_rows.pairs, {"chosen": "Yes", "rejected": "No"}, "begin differently"),
    (trl_rows.pairs, {"chosen": TALK + SAID, "rejected": ASKED + SAID}, "part before their last turn"),
    (trl_rows.pairs, {"chosen": ASKED + SAID, "rejected": ASKED}, "does not end with the assistant's turn"),
    (trl_rows.pairs, {"prompt": SKY, "chosen": BLUE, "rejected": GREEN, "strength": 9}, "“strength”: "),
    (trl_rows.pairs, {"chosen": 1, "rejected": 2}, "are not both texts, and not both lists"),
    (trl_rows.pairs, {"chosen": None, "rejected": None}, "“chosen” is null"),
    (trl_rows.labels, {"prompt": SKY, "completions": [BLUE, GREEN], "ranks": [0, 10**20]}, "“ranks.1”: "),
    (trl_rows.prompts, b'{"prompt": ' + b"[" * 100_000, "nested too deeply"),
    (trl_rows.demonstrations, {"messages": ASKED}, "does not end with the assistant's turn"),
    (trl_rows.demonstrations, {"prompt": SKY, "completion": SAID + ASKED}, "does not end with the assistant's turn"),
    (trl_rows.demonstrations, {"prompt": SKY, "completions": ["a"], "labels": [True]}, "steps of a"),
    (trl_rows.thumbs, {"prompt": SKY, "completion": BLUE, "label": 1}, "must be true or false"),
]  # fmt: skip


def named(part):
    """The same in every process: a function's text holds where it lies in memory."""
    return getattr(part, "__name__", str(part)[:50])


@pytest.mark.parametrize(("reader", "row", "reason"), REFUSED, ids=named)
def test_a_row_that_is_not_of_the_format_is_refused_by_its_line(read, reader, row, reason):
    good = {"prompt": SKY, "completion": BLUE, "chosen": BLUE, "rejected": GREEN, "label": True}
    with pytest.raises(DataError, match=r"^rows\.jsonl, line 3: ") as refusal:
        read(reader, good, b"", row, good)
    assert reason in str(refusal.value)


def test_completions_are_written_as_they_can_be_read(read):
    drawn = CompletionRecord(
        prompt_key=PROMPT.key, text=BLUE, logps=-2.5, tokens=4, truncated=False
    )
    (row,) = trl_rows.completion_rows([PROMPT], [drawn])
    assert row == {
        "prompt": ASKED, "completion": SAID, "logps": -2.5, "tokens": 4, "truncated": False
    }  # fmt: skip
    (record,) = read(trl_rows.demonstrations, row)
    assert (record.prompt, record.completion) == (PROMPT, BLUE)
