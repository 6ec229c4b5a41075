"""The shape of the code: its bars, what its documents say of it, and where a newcomer finds what."""

import ast
import json
import re
from functools import cache
from pathlib import Path

import pytest

from alignment.kinds import KINDS
from alignment.rows.formats import FORMATS
from tests import architecture, house
from webapp.datasets.exports import EXPORTS
from webapp.labeling.kinds import TASK_KINDS

ROOT = house.ROOT
# What a newcomer asks, and the file whose folder and name are the answer.
QUESTIONS = {
    "where is a pair's side decided?": ("webapp/labeling/sides.py", "def order"),
    "how do I add a divergence?": ("alignment/maths/divergences.py", "DIVERGENCES"),
    "how do I add a kind of task?": ("webapp/labeling/kinds/__init__.py", "TASK_KINDS"),
    "how do I add an export?": ("webapp/datasets/exports/__init__.py", "EXPORTS"),
    "how do I add a kind of run?": ("alignment/kinds/__init__.py", "KINDS"),
    "why was my run refused?": ("webapp/launch/checks.py", "def refusals"),
    "who renders curves?": ("webapp/results/charts.py", "def charts_for"),
    "where is the KL budget enforced?": ("alignment/kinds/align/run.py", "over_budget"),
    "how does a worker die safely?": ("webapp/runs/supervisor.py", "class Fence"),
    "how do I add a column to the rounds list?": ("templates/rounds/list.html", "<th"),
}
DOCUMENTS = (
    "README.md",
    "CONTRIBUTING.md",
    *(f"docs/{p.name}" for p in (ROOT / "docs").glob("*.md")),
)
PATH = re.compile(r"`((?:alignment|webapp|tests|templates|benchmarks)/[\w./]*)`")
OURS = ("alignment", "webapp", "tests")
TO_COME = ("NAME",)  # stands for what somebody adds


@pytest.fixture(scope="module")
def figures():
    return house.figures()


def test_functions_and_files_stay_short(figures):
    assert figures["functions"]["median"] <= 8
    assert figures["functions"]["p90"] <= 20
    assert figures["functions"]["largest"] <= 60
    assert figures["files"]["median"] <= 110
    assert figures["files"]["p90"] <= 300
    assert figures["files"]["largest"] <= 600


def test_no_function_takes_too_many_arguments():
    assert house.largest(house.arguments(), house.MOST_ARGUMENTS) == []


def test_no_class_of_settings_declares_too_many():
    assert house.largest(house.settings(), house.MOST_SETTINGS) == []


def test_few_public_names_stand_twice(figures):
    assert figures["names_twice_share"] <= house.MOST_TWICE, house.twice()


def test_no_line_of_a_template_is_too_long(figures):
    assert figures["template_bytes_in_long_lines"] == 0


def test_every_module_has_a_test_of_its_name_or_a_line_that_says_which():
    assert house.untested() == []


def test_a_line_that_says_which_test_looks_at_a_module_is_true():
    assert [pair for pair in house.tested_by().items() if not is_looked_at(*pair)] == []


def is_looked_at(module, test):
    """Whether there is such a test of such a module."""
    name = module.removesuffix(".py").replace("/", ".")
    by_address = module.startswith("webapp/")  # tests of pages reach it through Django alone
    there = (ROOT / module).is_file() and (ROOT / test).is_file()
    return there and (by_address or name in imported(test))


@cache
def imported(test):
    """All modules that a test's own imports bring along, as far as they are ours."""
    found, left = set(), [test.removesuffix(".py").replace("/", ".")]
    while left:
        place = ROOT / left.pop().replace(".", "/")
        path = place / "__init__.py" if place.is_dir() else place.with_suffix(".py")
        if path.is_file():
            new = named_by(path)
            left += new - found
            found |= new
    return found


@cache
def named_by(path):
    """What a module imports from ours, and each name that it takes from there."""
    found = set()
    for node in house.statements(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return frozenset(name for name in found if name.split(".")[0] in OURS)


@pytest.mark.parametrize("question", QUESTIONS)
def test_a_newcomers_question_is_answered_by_a_folder_and_a_name(question):
    path, what = QUESTIONS[question]
    assert re.search(what, (ROOT / path).read_text(encoding="utf-8")), path


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_path_in_a_document_is_there(document):
    text = (ROOT / document).read_text(encoding="utf-8")
    named = [path for path in PATH.findall(text) if not any(word in path for word in TO_COME)]
    assert [path for path in named if not (ROOT / path).exists()] == []


def test_the_tree_of_the_architecture_is_that_of_the_library():
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    tree = text[text.index("## The library") : text.index("## The web app")]
    rooms = set(re.findall(r"^      (\w+)/", tree, re.MULTILINE))
    there = {path.parent.name for path in (ROOT / "alignment").glob("*/__init__.py")}
    assert rooms == there


def test_the_picture_of_the_apps_is_drawn_from_the_code():
    assert architecture.PICTURE.read_text(encoding="utf-8") == architecture.drawn(), (
        "draw it again: python -m tests.architecture"
    )


def test_a_kind_is_a_folder_and_a_line():
    """What CONTRIBUTING says of adding one."""
    for name, kind in KINDS.items():
        folder = ROOT / Path(*kind.run.partition(":")[0].split(".")[:-1])
        assert {path.name for path in folder.glob("*.py")} >= {
            "__init__.py", "settings.py", "results.py", "run.py",
        }, name  # fmt: skip
    for name in TASK_KINDS:
        folder = ROOT / "webapp" / "labeling" / "kinds" / name
        assert (folder / "kind.py").is_file()
        assert (folder / "answer.py").is_file()
        assert (ROOT / "templates" / "labeling" / "kinds" / f"{name}.html").is_file()
        assert (ROOT / "tests" / "webapp" / "labeling" / "kinds" / f"test_{name}.py").is_file()


def test_a_format_is_a_file_and_a_line():
    """What CONTRIBUTING says of adding one."""
    for name in EXPORTS:
        assert (ROOT / "webapp" / "datasets" / "exports" / f"{name}.py").is_file(), name
    for name in FORMATS:
        assert (ROOT / "alignment" / "rows" / f"{name}.py").is_file(), name


def test_what_prints_the_figures_prints_them(capsys):
    assert house.main() == 0
    assert set(json.loads(capsys.readouterr().out.splitlines()[0])) == set(house.figures())
