"""Every sentence that pages show is marked for translation, wherever it is raised, stored or returned."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from string import Formatter

import pytest

from tests import house

MARKERS = {
    "_", "gettext", "gettext_lazy", "gettext_noop", "ngettext", "ngettext_lazy", "pgettext", "said",
}  # fmt: skip
# Ancestors of all errors whose message a person reads; every other error is a bug.
READ = ("Refusal", "AlignmentError", "ConflictError", "BadRow", "ValidationError")
# What speaks to a terminal, as `--help` does, or makes texts that are data.
TERMINAL = (
    "alignment/__main__.py", "alignment/command_line", "webapp/operations", "webapp/demo",
    "alignment/seam/variables.py", "webapp/variables.py", "webapp/settings.py", "webapp/machine/commands.py",
    "webapp/projects/named.py",
    "alignment/api.py", "alignment/tracking",  # to who writes a program, and into a run's log
)  # fmt: skip
DATA = ("alignment/world",)
SENTENCE = re.compile(r"[A-Z“{].* .*[.!?:…]")  # a text of several lines is data
WORDS = re.compile(r"[A-Za-z]{2,}.* | .*[A-Za-z]{2,}", re.DOTALL)
LOGS = re.compile(r"(logger|logging|warnings)\.")
TOLD = re.compile(r"messages\.(debug|info|success|warning|error)")
Text = ast.Constant | ast.JoinedStr


@cache
def trees() -> dict[Path, ast.Module]:
    """All modules, each parsed once."""
    return {path: ast.parse(path.read_text(encoding="utf-8")) for path in house.sources()}


@cache
def walked(tree: ast.AST) -> list[ast.AST]:
    """All nodes of a module, each found once."""
    return list(ast.walk(tree))


@pytest.fixture(scope="module", autouse=True)
def forget_trees():
    """They are large, and nobody else reads them."""
    yield
    trees.cache_clear()
    walked.cache_clear()


def read_modules() -> Iterator[tuple[str, ast.Module]]:
    """The modules whose words reach pages."""
    for path, tree in trees().items():
        name = str(path.relative_to(house.ROOT))
        if not name.startswith(TERMINAL + DATA) and "management" not in path.parts:
            yield name, tree


@cache
def refusals() -> frozenset[str]:
    """The names of all classes below READ."""
    classes = [
        (node.name, [named(base) for base in node.bases])
        for tree in trees().values()
        for node in walked(tree)
        if isinstance(node, ast.ClassDef)
    ]
    found, before = set(READ), set()
    while found != before:
        before = set(found)
        found |= {name for name, bases in classes if found & set(bases)}
    return frozenset(found)


def named(node: ast.expr) -> str:
    """The last part of a dotted name."""
    return node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")


def written(node: ast.expr) -> str:
    """An expression as Python writes it; a dotted name is put together at once, as there are thousands."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name | ast.Attribute):
        return f"{written(node.value)}.{node.attr}"
    return ast.unparse(node)


def is_text(node: ast.AST) -> bool:
    return isinstance(node, ast.JoinedStr) or (
        isinstance(node, ast.Constant) and isinstance(node.value, str)
    )


def template_of(node: Text) -> str:
    """A text with a pair of braces for each value in it."""
    if isinstance(node, ast.Constant):
        return str(node.value)
    return "".join(str(p.value) if isinstance(p, ast.Constant) else "{}" for p in node.values)


def unmarked(node: ast.AST) -> Iterator[Text]:
    """The texts of an expression that no marker is around; what other functions make of texts is theirs."""
    if is_text(node):
        yield node
    elif isinstance(node, ast.Call):
        if isinstance(node.func, ast.Attribute) and node.func.attr == "format":
            yield from unmarked(node.func.value)
    else:
        for child in ast.iter_child_nodes(node):
            yield from unmarked(child)


def told(module: str, tree: ast.Module) -> Iterator[Text]:
    """The texts with words in them that reach a person by a refusal, a message or a stored one."""
    settings = module.startswith("alignment/kinds/") and "settings" in module
    families = refusals() | ({"ValueError"} if settings else set())  # pydantic shows it
    for node in walked(tree):
        if isinstance(node, ast.Call):
            by_name = [keyword.value for keyword in node.keywords if keyword.arg == "message"]
            whole = named(node.func) in families or TOLD.match(written(node.func))
            for given in [*by_name, *(node.args if whole else ())]:
                yield from (one for one in unmarked(given) if WORDS.search(template_of(one)))


def is_aside(node: ast.AST) -> bool:
    """Whether nobody reads what is in here but who mends the program: logs, bugs, what is marked already."""
    if isinstance(node, ast.Call):
        return named(node.func) in MARKERS or bool(LOGS.match(written(node.func)))
    if isinstance(node, ast.ClassDef):
        return node.name.endswith("Error") and node.name not in refusals()
    bug = isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call)
    return isinstance(node, ast.Assert) or (bug and named(node.exc.func) not in refusals())


def sentences(node: ast.AST) -> Iterator[Text]:
    """The texts that read as sentences, wherever they go; a text that stands by itself is a docstring."""
    if is_text(node):
        if SENTENCE.fullmatch(text := template_of(node)) and WORDS.search(text):
            yield node
    elif not is_aside(node) and not (isinstance(node, ast.Expr) and is_text(node.value)):
        for child in ast.iter_child_nodes(node):
            yield from sentences(child)


def found_in(module: str, tree: ast.Module) -> list[str]:
    both = {node.lineno: node for node in (*told(module, tree), *sentences(tree))}
    return [f"{module}:{line} {template_of(node)[:80]}" for line, node in sorted(both.items())]


def places(text: str) -> set[str]:
    return {
        re.split(r"[.\[]", name)[0] for _, name, _, _ in Formatter().parse(text) if name is not None
    }


def misfilled(tree: ast.AST) -> Iterator[str]:
    """Marked texts whose places and values do not agree, and those that are put together before."""
    for node in walked(tree):
        if not isinstance(node, ast.Call):
            continue
        if named(node.func) in MARKERS and any(isinstance(one, ast.JoinedStr) for one in node.args):
            yield ast.unparse(node)
        filled = named(node.func) == "said" or named(node.func) == "format"
        marked = (
            node.args[:1] if named(node.func) == "said" else [getattr(node.func, "value", None)]
        )
        by_name = {keyword.arg for keyword in node.keywords}
        if filled and None not in by_name and isinstance(marked and marked[0], ast.Call):
            texts = [one for one in marked[0].args if isinstance(one, ast.Constant)]
            texts = texts[:2] if named(marked[0].func).startswith("n") else texts[:1]
            for text in texts if named(marked[0].func) in MARKERS else ():
                if not places(text.value) <= by_name or (
                    by_name - places(text.value) and len(texts) < 2
                ):
                    yield ast.unparse(node)


def test_every_sentence_is_marked():
    assert [one for module, tree in read_modules() for one in found_in(module, tree)] == []


def test_every_marked_text_gets_the_values_that_it_has_places_for():
    assert [one for tree in trees().values() for one in misfilled(tree)] == []


@pytest.mark.parametrize(
    "code",
    [
        "raise RunError('choose another one')",
        "raise RunError(f'choose another than {name}')",
        "raise RunError('{name} is gone'.format(name=name)) from error",
        "raise DataError('a' if one else 'there is no such folder')",
        "messages.error(request, f'{name} was not stored')",
        "job.objects.update(state=FAILED, message='it died too often')",
        "return 'Paused; resume goes on from there.'",
        "LOST = 'Its worker went silent for {n} s.'",
        "Change(state, 'upstream', f'{run.message} It is tried again.')",
    ],
)
def test_a_sentence_that_is_not_marked_is_found(code):
    assert found_in("webapp/x.py", ast.parse(code))


def test_what_a_setting_refuses_is_found():
    assert found_in("alignment/kinds/x/settings.py", ast.parse("raise ValueError('not a name')"))


@pytest.mark.parametrize(
    "code",
    [
        "raise RunError(_('Choose another one.'))",
        "raise RunError(_('Choose another than {name}.').format(name=name))",
        "raise DataError(str(error))",
        "raise TypeError('A field that chooses among no rows.')",
        "logger.warning('Run %s was lost.', pk)",
        "def f():\n    'A docstring that says what it does.'",
    ],
)
def test_what_is_marked_or_read_by_nobody_is_not_found(code):
    assert found_in("webapp/x.py", ast.parse(code)) == []


@pytest.mark.parametrize(
    "code",
    [
        "_('{name} is gone.').format(run=run)",
        "said(_('{name} is gone.'))",
        "said(_('It is gone.'), name=name)",
        "_(f'{name} is gone.')",
    ],
)
def test_a_place_without_its_value_is_found(code):
    assert list(misfilled(ast.parse(code)))
