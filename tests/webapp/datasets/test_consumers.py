"""Exports as their readers read them: TRL's trainers, and what LLaMA-Factory and OpenAI ask of their files."""

import csv
import json
import math
from contextlib import redirect_stdout
from typing import Any, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from alignment.rows.cells import COMPUTED
from tests.alignment.test_cells import FORMULAS
from tests.cases import cases
from tests.factories import (
    a_completion,
    a_label,
    a_project,
    a_prompt,
    a_ranking,
    compare,
    some_labels,
    some_tasks,
)
from tests.forks import Fork
from tests.webapp.datasets.test_standins import brought
from webapp.datasets.exports import EXPORTS
from webapp.datasets.exports.folders import write_folder, zipped
from webapp.datasets.services import freeze_snapshot
from webapp.labeling.kinds.compare import Choice
from webapp.projects.models import Prompt

pytestmark = [pytest.mark.once, pytest.mark.django_db]
TRAINERS = {  # of TRL, by the type of their rows
    "preference": ("dpo", "reward", "kto"),
    "implicit": ("reward", "dpo"),
    "unpaired": ("kto",),
    "prompt_completion": ("sft",),
}
TRAINED = {
    (name, trainer)
    for name, form in EXPORTS.items()
    if name.startswith("trl_")
    for trainer in TRAINERS.get(form.config, ())
}


@pytest.fixture(scope="module")
def folders(kept):
    """Every format of one snapshot, by name."""
    project = a_project()
    some_labels(some_tasks(project, 10), Choice.LEFT)
    a_ranking(a_prompt(project), 0, 1, 2)
    for choice in (Choice.TIE, Choice.BOTH_BAD):
        a_label(some_tasks(project)[0], choice)
    snapshot = freeze_snapshot(project)
    for name, form in EXPORTS.items():
        for _ in write_folder(kept / name, snapshot, form):
            continue
    return kept


@pytest.fixture(scope="module")
def trained(folders):
    """What TRL's trainers lost at each of two steps, in a process of their own: it loads torch."""
    jobs = [
        (folders / name, form.config, TRAINERS[form.config])
        for name, form in EXPORTS.items()
        if name.startswith("trl_") and form.config in TRAINERS
    ]
    said = folders / "said"

    def act():
        from tests.webapp.datasets import read_with_trl  # noqa: PLC0415 - it loads torch

        with said.open("w") as file, redirect_stdout(file):
            read_with_trl.main(str(folders / "trained"), jobs)

    assert Fork(act).wait() == 0
    told = [json.loads(line) for line in said.read_text().splitlines() if line.startswith('{"f')]
    return {(one["folder"], one["trainer"]): one["losses"] for one in told}


@pytest.mark.slow
@pytest.mark.parametrize(("name", "trainer"), sorted(TRAINED))
def test_a_trainer_of_trl_takes_two_steps_on_the_rows_as_they_are(trained, name, trainer):
    assert len(trained[name, trainer]) == 2
    assert all(math.isfinite(loss) for loss in trained[name, trainer])


class Strict(BaseModel):
    """What is not in its documentation is refused."""

    model_config = ConfigDict(extra="forbid")


class Columns(Strict):
    """Of a description of LLaMA-Factory (`data/README.md` there): the names of columns."""

    prompt: str = "instruction"
    query: str = "input"
    response: str = "output"
    history: str | None = None
    messages: str = "conversations"
    system: str | None = None
    tools: str | None = None
    chosen: str
    rejected: str


class Described(Strict):
    """A preference set in `dataset_info.json`, as that page documents it."""

    file_name: str
    formatting: Literal["alpaca", "sharegpt"] = "alpaca"
    ranking: Literal[True]
    columns: Columns


class AlpacaRow(BaseModel):
    """A preference in Alpaca's columns."""

    instruction: str
    input: str
    chosen: str
    rejected: str
    system: str
    history: list[tuple[str, str]]


class Said(Strict):
    """A turn of ShareGPT's."""

    by: Literal["human", "gpt"] = Field(alias="from")
    value: str


class ShareGptRow(BaseModel):
    """A preference as ShareGPT's conversations."""

    conversations: list[Said]
    chosen: Said
    rejected: Said
    system: str
    tools: str


@pytest.mark.parametrize(
    ("name", "row"), [("llama_factory_alpaca", AlpacaRow), ("llama_factory_sharegpt", ShareGptRow)]
)
def test_llama_factory_finds_every_file_and_column_that_is_described(folders, name, row):
    folder = folders / name
    info = json.loads((folder / "dataset_info.json").read_text())
    described = TypeAdapter(dict[str, Described]).validate_python(info)
    assert len(described) == len(list(folder.glob("*/*.jsonl"))) > 1
    for one in described.values():
        lines = (folder / one.file_name).read_text().splitlines()
        found = [row.model_validate_json(line) for line in lines]
        columns = one.columns.model_dump(exclude_unset=True).values()
        assert set(columns) == set(row.model_fields) == set(json.loads(lines[0]))
        for conversation in [one.conversations for one in found if hasattr(one, "conversations")]:
            assert [said.by for said in conversation] == ["human", "gpt"][: len(conversation)]


class Turn(Strict):
    """A message as OpenAI's documentation of fine-tuning has it."""

    role: Literal["system", "user", "assistant"]
    content: str = Field(min_length=1)


class Asked(Strict):
    """What was asked, of DPO's examples."""

    messages: list[Turn] = Field(min_length=1)
    tools: list[dict[str, Any]]
    parallel_tool_calls: bool


class Supervised(Strict):
    """A line of a file for supervised fine-tuning."""

    messages: list[Turn] = Field(min_length=2)


class Preferred(Strict):
    """A line of a file for DPO."""

    input: Asked
    preferred_output: list[Turn] = Field(min_length=1, max_length=1)
    non_preferred_output: list[Turn] = Field(min_length=1, max_length=1)


@pytest.mark.parametrize(
    ("name", "line"), [("openai_chat", Supervised), ("openai_preference", Preferred)]
)
def test_each_line_is_an_example_of_openais_documentation(folders, name, line):
    paths = list((folders / name).glob("*/*.jsonl"))
    assert len(paths) > 1
    for path in paths:
        for text in path.read_text().splitlines():
            found = line.model_validate_json(text)
            if line is Supervised:
                assert found.messages[-1].role == "assistant"
            else:
                assert found.input.messages[-1].role == "user"


@cases("texts", [FORMULAS[::6], FORMULAS], ids=["some", "all"])
def test_no_cell_of_a_table_is_a_formula_and_each_comes_back_equal(on_kept, tmp_path, texts):
    project, tasks = a_project(), []
    for text in texts:
        prompt = a_prompt(project, text)
        compare(project, [(a_completion(prompt, f"{text}A"), a_completion(prompt, text))])
        tasks += prompt.tasks.all()
    some_labels(tasks, Choice.LEFT)
    for name in ("pairs_csv", "raw_labels"):
        for _ in write_folder(tmp_path / name, freeze_snapshot(project), EXPORTS[name]):
            continue
        for path in (tmp_path / name).glob("*/*.csv"):
            with path.open(newline="", encoding="utf-8") as file:
                cells = [cell for row in csv.reader(file) for cell in row]
            assert not [cell for cell in cells if cell.startswith(COMPUTED)]
    added = brought(a_project(), zipped(tmp_path / "pairs_csv"))
    assert (added.prompts, added.labels) == (len(texts), len(texts))
    prompts = Prompt.objects.order_by("-pk")[: len(texts)]
    assert {prompt.text for prompt in prompts} == set(texts)
