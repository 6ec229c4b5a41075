"""How much a file would bring is known before anything of it is stored, and too much is refused in words."""

import pytest

from alignment.rows.json_lines import Row
from webapp.datasets.errors import ImportRefusal
from webapp.datasets.imports import sizes
from webapp.datasets.imports.parts import take_in
from webapp.datasets.imports.reading import read_rows
from webapp.datasets.intake import Become, Plan
from webapp.projects.models import Prompt

ANSWERS = [*"abcd"]  # six pairs, and each prompt may be one that is kept for testing


def held(prompts):
    rows = ({"prompt": f"Question {n}?", "responses": ANSWERS} for n in range(prompts))
    return read_rows(Row(f"row {n}", row) for n, row in enumerate(rows, start=1))


def test_more_tasks_than_may_come_at_once_are_refused_and_nothing_is_stored(project, monkeypatch):
    reading = held(10)
    asked = sizes.tasks_of(project, reading, pairs=0)["compare"]
    assert asked % 6 == 0 < asked
    monkeypatch.setattr(sizes, "MOST_TASKS", asked - 1)
    with pytest.raises(ImportRefusal, match=f"That would be {asked} tasks, and {asked - 1} are"):
        take_in(project, reading, Plan(Become.TASKS, pairs=0))
    assert not Prompt.every.exists()
    monkeypatch.setattr(sizes, "MOST_TASKS", asked)
    assert take_in(project, reading, Plan(Become.TASKS, pairs=0)).tasks == asked


def test_where_few_can_come_the_file_is_not_read_once_more(project, monkeypatch):
    monkeypatch.delattr(sizes, "tasks_of")
    sizes.check_size(project, held(3), Plan(Become.TASKS, pairs=2))
    sizes.check_size(project, held(3), Plan(Become.ANSWERS))
