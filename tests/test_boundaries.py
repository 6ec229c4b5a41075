"""The rules that keep the three programs apart, checked in fresh interpreters and in the source."""

import ast
import os
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from tests import house

ROOT = Path(__file__).parent.parent
IMPORT_WORKER = """
import os
os.environ["DJANGO_SETTINGS_MODULE"] = "webapp.settings"
from webapp.celery import app
app.loader.import_default_modules()
import webapp.runs.execution, webapp.runs.supervisor, webapp.runs.tend
assert "webapp.runs.tasks.ring" in app.tasks
"""
# In tables that are made as the models say: what the migrations do on the way is tested elsewhere.
SERVE_A_PAGE = """
import django; django.setup()
from django.apps import apps
from django.conf import settings
settings.ALLOWED_HOSTS = ["testserver"]
settings.MIGRATION_MODULES = {one.label: None for one in apps.get_app_configs()}
from django.core.management import call_command
call_command("migrate", run_syncdb=True, verbosity=0)
call_command("createcachetable", verbosity=0)
from django.test import Client
assert Client().get("/accounts/login/").status_code == 200
from webapp.accounts.models import User
client = Client(); client.force_login(User.objects.create_superuser("root"))
assert client.get("/", follow=True).status_code == 200
"""
WEB = {"django", "celery", "webapp"}
UNPICKLING = {"pickle", "_pickle", "cPickle", "cloudpickle", "dill", "joblib", "marshal", "shelve"}
# Rooms that never load torch, and the one thing in them that does: what computes a kind.
TORCH_FREE = ("seam", "kinds", "rows", "foreign", "world", "command_line")
COMPUTES = "run"


def modules_after(var: Path, *stages: str) -> list[set[str]]:
    """The modules that a fresh interpreter holds once it has run each of these, one after another."""
    code = "\n".join(f"{stage}\nimport sys; print(*sys.modules)" for stage in stages)
    result = subprocess.run(
        [sys.executable, "-c", code],
        check=True,
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, "ATTUNE_VAR": str(var)},
    )
    return [set(line.split()) for line in result.stdout.splitlines()]


@pytest.fixture(scope="module")
def loaded(tmp_path_factory):
    """What a worker holds, and what the same interpreter holds once it has served pages beside."""
    return modules_after(tmp_path_factory.mktemp("loaded"), IMPORT_WORKER, SERVE_A_PAGE)


def test_the_library_does_not_know_the_web():
    ours = sources("alignment")
    assert len(ours) > 150
    assert [path for path in ours if WEB & imported(path.read_text())] == []


@pytest.mark.slow
def test_the_web_process_serves_pages_without_torch_and_pandas(loaded):
    assert not {"torch", "transformers", "pandas"} & loaded[1]
    assert "webapp.home.views" in loaded[1]


@pytest.mark.slow
def test_the_worker_process_does_not_load_torch(loaded):
    assert not {"torch", "transformers"} & loaded[0]
    assert "webapp.runs.supervisor" in loaded[0]


def torch_free() -> list[str]:
    """The modules of the rooms that never load torch; of a kind's folder, all but what computes it."""
    paths = [path for room in TORCH_FREE for path in (ROOT / "alignment" / room).rglob("*.py")]
    paths = [
        path for path in paths if not (path.parent.parent.name == "kinds" and path.stem == COMPUTES)
    ]
    return [".".join(path.relative_to(ROOT).with_suffix("").parts) for path in sorted(paths)]


def test_the_seam_loads_without_torch(tmp_path):
    """One interpreter for all; the first of them that brings torch ends it with its name."""
    check = 'assert not {"torch", "transformers", "django"} & set(sys.modules), name'
    code = f"import importlib, sys\nfor name in {torch_free()}:\n importlib.import_module(name)\n {check}"
    assert len(torch_free()) > 40
    modules_after(tmp_path, code)


def test_the_web_imports_nothing_of_the_library_but_what_is_free_of_torch():
    allowed = {name.removesuffix(".__init__") for name in torch_free()}
    rooms = {name.rpartition(".")[0] for name in allowed}
    for path in sources("webapp"):
        named = {
            name for name in imported_modules(path.read_text()) if name.startswith("alignment")
        }
        assert named <= allowed | rooms, path


def sources(*folders: str) -> list[Path]:
    return [path for folder in folders for path in (ROOT / folder).rglob("*.py")]


def test_celery_is_never_eager():
    word = "ALWAYS" + "_EAGER"
    assert not [path for path in sources("webapp", "tests") if word in path.read_text().upper()]


@cache
def imports(text: str) -> list[ast.Import | ast.ImportFrom]:
    """What a module imports, wherever it does."""
    walked = house.statements(ast.parse(text))
    return [node for node in walked if isinstance(node, ast.Import | ast.ImportFrom)]


@cache
def imported_modules(text: str) -> frozenset[str]:
    """The modules that a module imports from, wherever it does."""
    found = set()
    for node in imports(text):
        match node:
            case ast.Import(names=names):
                found |= {alias.name for alias in names}
            case ast.ImportFrom(module=str(module)):
                found.add(module)
    return frozenset(found)


def imported(text: str) -> set[str]:
    """The packages that a module imports, wherever it does."""
    return {name.split(".")[0] for name in imported_modules(text)}


def test_an_import_is_found_wherever_it_is():
    text = "def f():\n    from pickle import loads\n    import joblib.numpy_pickle\n"
    assert imported(text) == UNPICKLING & {"pickle", "joblib"}


def test_nothing_is_unpickled():
    unsafe = re.compile(
        r"torch\.load\(|Unpickler|allow_pickle|trust_remote_code=True|weights_only|\.read_pickle\("
    )
    ours = {path: path.read_text() for path in sources("alignment", "webapp")}
    assert [path for path, text in ours.items() if unsafe.search(text)] == []
    assert [path for path, text in ours.items() if UNPICKLING & imported(text)] == []


def test_the_web_never_imports_torch_even_lazily():
    for path in sources("webapp"):
        for node in imports(path.read_text()):
            names = [alias.name for alias in node.names]
            names.append(getattr(node, "module", "") or "")
            assert not [n for n in names if n.split(".")[0] in {"torch", "transformers"}], path


# The apps, from the ground up; each knows only what stands before it, and never one beside it.
LAYERS = (
    ("site", "rendering", "machine"),
    ("queue", "accounts"),
    ("audit",),
    ("projects", "serving"),
    ("notifications",),
    ("artifacts", "jobs"),
    ("labeling",),
    ("quality", "webhooks"),
    ("datasets", "people"),
    ("runs",),
    ("launch", "results"),
    ("erasure", "registry", "rounds", "sweeps"),
    ("home", "api"),
    ("operations",),
    ("demo",),
)
ABOVE_ALL = {
    "settings",
    "variables",
    "urls",
    "celery",
    "wsgi",
}  # modules, which set up what is below


def app_of(name: str) -> str:
    return name.split(".")[1] if name.startswith("webapp.") else ""


def arrows() -> set[tuple[str, str]]:
    """Which app imports from which, anywhere in it."""
    found = set()
    for path in sources("webapp"):
        app = path.relative_to(ROOT / "webapp").parts[0]
        named = {app_of(name) for name in imported_modules(path.read_text())} - {"", app}
        found |= {(app, other) for other in named if (ROOT / "webapp" / app).is_dir()}
    return found


def test_every_app_has_its_layer():
    named = [app for layer in LAYERS for app in layer]
    there = {path.parent.name for path in (ROOT / "webapp").glob("*/__init__.py")}
    assert sorted(named) == sorted(there)
    assert {path.stem for path in (ROOT / "webapp").glob("*.py")} == ABOVE_ALL | {"__init__"}


def test_no_arrow_goes_up_and_no_two_apps_import_each_other():
    height = {app: number for number, layer in enumerate(LAYERS) for app in layer}
    found = arrows()
    assert len(found) > 60
    assert {arrow for arrow in found if height[arrow[0]] <= height[arrow[1]]} == set()
    assert {arrow for arrow in found if arrow[::-1] in found} == set()
