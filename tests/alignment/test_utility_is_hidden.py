"""Nothing that learns may see what the simulated people like: it would be graded by its own key."""

import ast
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SOURCES = ("alignment", "webapp", "benchmarks")
HIDDEN = "alignment.world.utility"
PART = "alignment.world.prose"  # which that asks
PERSON = "SimulatedAnnotator"  # who reads it, wherever it is taken from


@cache
def imported(path: Path) -> set[str]:
    """Every module a source file may import, at its top or inside a function."""
    names, text = set(), path.read_text(encoding="utf-8")
    if not any(name.rpartition(".")[2] in text for name in (HIDDEN, PART, PERSON)):
        return names  # whatever it imports, none of these
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Constant) and node.value in (HIDDEN, PART):
            names.add(node.value)  # importlib
    return names


def importers(hidden: str = HIDDEN) -> set[str]:
    files = [path for folder in SOURCES for path in (ROOT / folder).rglob("*.py")]
    return {
        path.relative_to(ROOT).as_posix() for path in [*files, *ROOT.glob("*.py")]
        if any(name == hidden or name.endswith(f".{PERSON}") for name in imported(path))
    }  # fmt: skip


def test_only_the_judge_and_the_demo_import_the_utility():
    allowed = {"alignment/kinds/evaluate/run.py"}
    assert {path for path in importers() if not path.startswith("webapp/demo/")} <= allowed


def test_the_part_about_instructions_is_asked_by_the_utility_alone():
    readers = {path for path in importers(PART) if PERSON not in (ROOT / path).read_text()}
    assert readers == set()


def test_an_import_is_seen_wherever_it_stands(tmp_path):
    source = tmp_path / "module.py"
    source.write_text("def f():\n    from alignment.world import utility\n    return utility\n")
    assert HIDDEN in imported(source)


def test_the_evaluation_shows_the_utility_to_its_judge_only():
    tree = ast.parse((ROOT / "alignment/kinds/evaluate/run.py").read_text(encoding="utf-8"))
    readers = [
        node.name
        for node in tree.body
        if isinstance(node, ast.FunctionDef | ast.ClassDef)
        and any(isinstance(n, ast.Name) and n.id == "utility" for n in ast.walk(node))
    ]
    assert readers == ["utility_judge"]
