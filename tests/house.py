"""`python -m tests.house`: figures of the code's shape, and what does not hold of them.

How long functions and files are, how many arguments and settings there are at most, how many public
names stand twice, how long the lines of templates are, and which modules have no test of their name.
"""

import ast
import json
import statistics
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
CODE = ("alignment", "webapp")
MOST_ARGUMENTS = 6
MOST_SETTINGS = 15  # of one class, without those it inherits
MOST_TWICE = 0.06  # share of public names
LONGEST_LINE = 160  # characters of a template
# What every room of one shape has: the name says which place it has in each.
SHARED = {
    "KIND", "CURVES", "FIELDS", "Answer", "Meta", "Command", "Migration", "Progress",
    "main", "parse", "prepare", "publish", "sentence", "needed_memory", "needed_seconds", "urlpatterns", "app_name",
    "register", "logger", "read", "fits",
}  # fmt: skip

Function = ast.FunctionDef | ast.AsyncFunctionDef


class Spread(NamedTuple):
    """Of how many lines things are."""

    median: float
    p90: float
    largest: int


class Place(NamedTuple):
    """Something in a file."""

    path: Path
    name: str
    size: int


class Shape(NamedTuple):
    """What is counted of a module."""

    functions: list[Place]  # with their lines
    arguments: list[Place]  # functions, with how many a caller may give them
    classes: list[Place]  # of its top, with what they declare themselves
    public: list[str]  # names of its top that are for others


def sources() -> Iterator[Path]:
    """The modules of the program, without migrations."""
    for folder in CODE:
        for path in sorted((ROOT / folder).rglob("*.py")):
            if "migrations" not in path.parts:
                yield path


@cache
def shapes() -> dict[Path, Shape]:
    """Every module as it is now: each is read once, and no tree is kept."""
    return {path: shape_of(path, path.read_text(encoding="utf-8")) for path in sources()}


def shape_of(path: Path, text: str) -> Shape:
    """What is counted of a module that says this."""
    tree = ast.parse(text)
    found = [node for node in statements(tree) if isinstance(node, Function)]
    classes = [node for node in tree.body if isinstance(node, ast.ClassDef)]
    tops = [node.name for node in tree.body if isinstance(node, Function | ast.ClassDef)]
    return Shape(
        [Place(path, one.name, (one.end_lineno or one.lineno) - one.lineno + 1) for one in found],
        [Place(path, one.name, given(one)) for one in found],
        [Place(path, one.name, declared(one)) for one in classes],
        [name for name in tops if not name.startswith("_") and name not in SHARED],
    )


def statements(node: ast.AST) -> Iterator[ast.stmt]:
    """All statements below a node, without their expressions, which are most of a tree and import nothing."""
    for place in ("body", "orelse", "finalbody", "handlers", "cases"):
        for below in getattr(node, place, ()):
            if isinstance(below, ast.stmt):
                yield below
            yield from statements(below)


def given(node: Function) -> int:
    """How many arguments a caller may give a function."""
    listed = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
    return sum(one.arg not in ("self", "cls") for one in listed)


def declared(node: ast.ClassDef) -> int:
    """How many fields a class declares itself."""
    return sum(isinstance(one, ast.AnnAssign) for one in node.body)


def functions() -> list[Place]:
    """Every function, with its lines."""
    return [place for shape in shapes().values() for place in shape.functions]


def files() -> list[Place]:
    """Every module that says something, with its lines."""
    sizes = ((path, len(path.read_text(encoding="utf-8").splitlines())) for path in sources())
    return [Place(path, path.stem, lines) for path, lines in sizes if lines > 1]


def arguments() -> list[Place]:
    """Every function, with how many arguments a caller may give it; those of Django's or pydantic's count alike."""
    return [place for shape in shapes().values() for place in shape.arguments]


def settings() -> list[Place]:
    """Every class of settings, with how many of them it declares itself."""
    return [
        place
        for path, shape in shapes().items()
        if path.name == "settings.py" or path.parent.name == "settings"
        for place in shape.classes
    ]


def public_names() -> Counter[str]:
    """How often each public name is defined at the top of a module."""
    return Counter(name for shape in shapes().values() for name in shape.public)


def twice() -> list[str]:
    """The names that stand in several modules, the most frequent first."""
    return [name for name, count in public_names().most_common() if count > 1]


def long_lines() -> tuple[int, int]:
    """Bytes of templates in lines that are too long, and all bytes."""
    lines = [
        line
        for path in (ROOT / "templates").rglob("*.html")
        for line in path.read_text(encoding="utf-8").splitlines(keepends=True)
    ]
    return sum(len(line) for line in lines if len(line) > LONGEST_LINE), sum(map(len, lines))


def spread(places: Sequence[Place]) -> Spread:
    """The middle, the ninth tenth and the largest."""
    sizes = sorted(place.size for place in places)
    return Spread(statistics.median(sizes), sizes[len(sizes) * 9 // 10], sizes[-1])


def largest(places: Sequence[Place], above: int) -> list[str]:
    """Where the bound is not kept."""
    return [
        f"{one.path.relative_to(ROOT)}:{one.name} {one.size}" for one in places if one.size > above
    ]


def figures() -> dict[str, object]:
    """All figures."""
    names, long, everything = public_names(), *long_lines()
    return {
        "functions": spread(functions())._asdict(),
        "files": spread(files())._asdict(),
        "arguments_max": spread(arguments()).largest,
        "settings_max": spread(settings()).largest,
        "names_twice_share": round(len(twice()) / len(names), 4),
        "template_bytes_in_long_lines": round(long / everything, 4),
        "modules": len(files()),
        "modules_without_a_test_of_their_name": len(untested()),
    }


def untested() -> list[str]:
    """Modules without a test file of their name that no line of TESTED_BY speaks of."""
    named = {path.stem.removeprefix("test_") for path in (ROOT / "tests").rglob("test_*.py")}
    plain = {"__init__", "__main__", "urls", "settings", "results", "run", "wsgi", "apps"}
    return [
        str(path.relative_to(ROOT))
        for path in sources()
        if path.stem not in named | plain and str(path.relative_to(ROOT)) not in tested_by()
    ]


def tested_by() -> dict[str, str]:
    """Which test looks at a module that has none of its name, by `tests/tested_by.json`."""
    path = ROOT / "tests" / "tested_by.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def main() -> int:
    """Print the figures, and where a bound is not kept."""
    print(json.dumps(figures()))
    for line in (*largest(arguments(), MOST_ARGUMENTS), *largest(settings(), MOST_SETTINGS)):
        print(line)
    print("twice:", ", ".join(twice()))
    print("without a test of their name:", *untested(), sep="\n  ")
    return 0


if __name__ == "__main__":
    sys.exit(main())
