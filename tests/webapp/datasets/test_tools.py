"""Prompts with tools through exports and back: kept as they are, or refused in words."""

import csv
import json

import pyarrow.parquet as pq
import pytest
from datasets import load_dataset

from alignment.rows.formats import GUESS
from alignment.rows.json_lines import Row
from alignment.seam.records import Message, prompt_key
from tests.factories import (
    a_completion,
    a_label,
    a_project,
    again,
    compare,
    some_labels,
    some_tasks,
)
from webapp.datasets.errors import ExportRefusal
from webapp.datasets.exports import EXPORTS
from webapp.datasets.exports.folders import write_folder
from webapp.datasets.exports.losses import losses_of
from webapp.datasets.imports.reading import read_rows
from webapp.datasets.services import freeze_snapshot
from webapp.projects.services import add_prompts

pytestmark = pytest.mark.once
FUNCTIONS = [
    {"name": "look", "parameters": {"type": "object", "properties": {"where": {"type": "string"}}}},
    {"name": "listen", "strict": True, "parameters": {"type": "object", "properties": {}}},
]
TOOLS = [{"type": "function", "function": one} for one in FUNCTIONS]
CALLS = [
    {"name": "look", "arguments": '{"where": "up", "how": [1, {"far": true}]}'},
    {"name": "listen", "arguments": '{"long": 1.5}'},
]
TURNS = (
    Message(role="user", content="How is the sky?", tools=json.dumps(TOOLS)),
    Message(role="assistant", content="", tool_calls=CALLS[:1]),
    Message(role="tool", content="blue"),
    Message(role="assistant", content="", tool_calls=CALLS),
    Message(role="tool", content="{}"),
)
HOLD = {
    "trl_preference_conversational", "trl_implicit_conversational", "trl_unpaired_conversational",
    "trl_completion_conversational", "trl_prompts_conversational", "openai_chat", "openai_preference",
    "llama_factory_sharegpt", "pairs_csv", "raw_labels",
}  # fmt: skip


@pytest.fixture(scope="module")
def frozen(kept):
    """A pair about a prompt with tools, and pairs about others."""
    project = a_project()
    add_prompts(project, [TURNS], source="imported", splits={prompt_key(TURNS): "train"})
    prompt = project.prompts.get()
    compare(project, [(a_completion(prompt, "Blue."), a_completion(prompt, "Red."))])
    a_label(project.tasks.get())
    some_labels(some_tasks(project, 6))
    return freeze_snapshot(project)


@pytest.fixture
def snapshot(frozen, on_kept):
    return again(frozen)


def written(snapshot, folder, name):
    for _ in write_folder(folder, snapshot, EXPORTS[name]):
        continue
    return folder / EXPORTS[name].config


def lines(folder):
    return [json.loads(line) for line in (folder / "train.jsonl").read_text().splitlines()]


def with_tools(rows, format=GUESS):
    reading = read_rows((Row(f"line {n}", row) for n, row in enumerate(rows, start=1)), format)
    assert not reading.refusals
    return [one.messages for one in reading.prompts.values() if one.messages[0].tools]


def without_ids(turns):
    """The turns without the names of calls, which a format may have to give."""
    calls = [turn.model_copy(update={"tool_call_id": ""}) for turn in turns]
    return tuple(
        turn.model_copy(
            update={"tool_calls": tuple(c.model_copy(update={"id": ""}) for c in turn.tool_calls)}
        )
        for turn in calls
    )


def test_formats_are_all_known_here():
    assert EXPORTS.keys() >= HOLD


@pytest.mark.parametrize("name", sorted(HOLD - {"pairs_csv"}))
def test_what_is_exported_with_tools_comes_back_as_it_was(snapshot, tmp_path, name):
    (turns,) = with_tools(lines(written(snapshot, tmp_path / "out", name)))
    assert without_ids(turns) == TURNS
    assert (turns == TURNS) == (not name.startswith("openai"))
    assert not [one for one in losses_of(snapshot, EXPORTS[name]) if "with tools" in str(one.words)]


def test_a_table_holds_tools_too(snapshot, tmp_path):

    with (written(snapshot, tmp_path / "out", "pairs_csv") / "train.csv").open(newline="") as file:
        assert with_tools(csv.DictReader(file)) == [TURNS]


def test_every_call_has_an_id_for_openai_and_its_answer_names_it(snapshot, tmp_path):
    (row,) = [
        one for one in lines(written(snapshot, tmp_path / "out", "openai_chat")) if "tools" in one
    ]
    _, call, told, both, last, _ = row["messages"]
    assert [one["id"] for turn in (call, both) for one in turn["tool_calls"]] == [
        "call_1",
        "call_2",
        "call_3",
    ]
    assert (told["tool_call_id"], last["tool_call_id"]) == ("call_1", "call_2")
    assert json.loads(call["tool_calls"][0]["function"]["arguments"]) == json.loads(
        CALLS[0]["arguments"]
    )


def test_datasets_opens_tools_and_arguments_as_objects(snapshot, tmp_path):
    """As TRL hands them to a chat template."""
    folder = written(snapshot, tmp_path / "out", "trl_preference_conversational")
    files = {"train": str(folder / "train.parquet")}
    found = load_dataset("parquet", data_files=files, cache_dir=str(tmp_path / "cache"))["train"]
    (row,) = [one for one in found if one["tools"]]
    assert row["tools"] == TOOLS
    assert row["prompt"][3]["tool_calls"][0]["function"] == {
        "name": "look", "arguments": json.loads(CALLS[0]["arguments"])
    }  # fmt: skip


def test_messages_of_a_snapshot_without_tools_are_as_narrow_as_ever(on_kept, tmp_path):
    project = a_project()
    some_labels(some_tasks(project, 6))
    folder = written(freeze_snapshot(project), tmp_path / "out", "trl_preference_conversational")
    schema = pq.read_schema(next(folder.glob("*.parquet")))
    assert schema == EXPORTS["trl_preference_conversational"].schema
    assert [field.name for field in schema.field("prompt").type.value_type] == ["role", "content"]


@pytest.mark.parametrize("name", sorted(EXPORTS.keys() - HOLD))
def test_a_format_that_cannot_hold_tools_refuses_and_says_so_before(snapshot, tmp_path, name):
    with pytest.raises(ExportRefusal, match="describe or call tools"):
        written(snapshot, tmp_path / "out", name)
    assert not (tmp_path / "out").exists()
    (lost,) = [one for one in losses_of(snapshot, EXPORTS[name]) if "with tools" in str(one.words)]
    assert (lost.n, str(lost.fate)) == (1, "refused")
