"""What the benchmark of rows that come and go moves, and that its bare programs move the same."""

import json

import pytest

from benchmarks import exchange
from webapp.datasets.exports.writers import JSON_LINES, PARQUET
from webapp.labeling.models import Task, TaskItem

ROWS = 60


@pytest.fixture(autouse=True)
def _var(settings, tmp_path):
    settings.VAR = tmp_path


def test_bare_lines_are_those_of_the_export_or_it_is_told(project, tmp_path):
    snapshot = exchange.a_snapshot(project, ROWS)
    exchange.exported(snapshot, PARQUET).rename(tmp_path / "table")
    lines = exchange.exported(snapshot, JSON_LINES)
    assert exchange.bare_parquet(tmp_path / "table", tmp_path / "bare.parquet") > 0
    assert exchange.bare_lines(lines, tmp_path / "table", tmp_path / "bare.jsonl") > 0
    written = [line for path in lines.rglob("*.jsonl") for line in path.open()]
    assert len(written) == snapshot.pairs == sum(place % 8 not in (0, 4) for place in range(ROWS))
    (changed, *_) = sorted(lines.rglob("*.jsonl"))
    changed.write_text(json.dumps({"prompt": "Another?"}) + "\n")
    with pytest.raises(AssertionError, match="other rows"):
        exchange.bare_lines(lines, tmp_path / "table", tmp_path / "bare.jsonl")


def test_an_import_is_written_once_more_by_a_bare_program(project):
    assert "tasks" in exchange.take_in(project, exchange.a_file(ROWS))
    there = list(TaskItem.objects.values_list("task", "place", "completion").order_by("pk"))
    _, counted = exchange.bare_insert()
    assert list(TaskItem.objects.values_list("task", "place", "completion").order_by("pk")) == there
    assert (counted["prompt"], counted["completion"]) == (ROWS // 2, 2 * ROWS)
    assert counted["taskitem"] == 2 * counted["task"] == 2 * Task.objects.count() > 0
    exchange.clear()
    assert not Task.every.exists()


@pytest.mark.parametrize("name", ["parquet", "json_lines", "import", "export_peak", "import_peak"])
def test_each_limit_is_held(name):
    told = {one: {"value": 1.0} for one in ("parquet", "json_lines", "import")}
    told |= {one: {"ratio": 1.0} for one in ("export_peak", "import_peak")}
    assert exchange.holds(told)
    assert not exchange.holds(told | {name: dict.fromkeys(told[name], 2.6)})
