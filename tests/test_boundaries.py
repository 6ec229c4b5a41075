"""The rules that keep the three programs apart, checked in fresh interpreters and in the source."""

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
IMPORT_LIBRARY = """
import pkgutil, importlib, alignment
for module in pkgutil.walk_packages(alignment.__path__, "alignment."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)
"""
SERVE_A_PAGE = """
import os
os.environ["DJANGO_SETTINGS_MODULE"] = "webapp.settings"
import django; django.setup()
from django.conf import settings
settings.ALLOWED_HOSTS = ["testserver"]
from django.core.management import call_command
call_command("migrate", verbosity=0); call_command("createcachetable", verbosity=0)
from django.test import Client
assert Client().get("/accounts/login/").status_code == 200
from webapp.accounts.models import User
client = Client(); client.force_login(User.objects.create_superuser("root"))
assert client.get("/", follow=True).status_code == 200
"""
IMPORT_WORKER = """
import os
os.environ["DJANGO_SETTINGS_MODULE"] = "webapp.settings"
from webapp.celery import app
app.loader.import_default_modules()
import webapp.runs.execution, webapp.runs.supervisor, webapp.runs.tend
assert "webapp.runs.tasks.ring" in app.tasks
"""
UNPICKLING = {"pickle", "_pickle", "cPickle", "cloudpickle", "dill", "joblib", "marshal", "shelve"}
TORCH_FREE = [
    "config", "events", "records", "folders", "errors", "grammar", "utility", "modelfiles",
    "archives", "hub", "memory", "commands", "options", "trl_rows", "servers", "terminal", "schedules",
    "isolation", "templates", "patterns", "forks", "held", "watching", "priority",
    "foreign", "rows.formats",
]  # fmt: skip


def modules_after(code: str, var: Path) -> set[str]:
    """The modules that a fresh interpreter holds once it has run this code."""
    result = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport sys; print(*sys.modules)"],
        check=True,
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, "ATTUNE_VAR": str(var)},
    )
    return set(result.stdout.split())


def test_the_library_does_not_know_the_web(tmp_path):
    assert not {"django", "celery", "webapp"} & modules_after(IMPORT_LIBRARY, tmp_path)


def test_the_web_process_serves_pages_without_torch(tmp_path):
    assert not {"torch", "transformers"} & modules_after(SERVE_A_PAGE, tmp_path)


def test_the_worker_process_does_not_load_torch(tmp_path):
    assert not {"torch", "transformers"} & modules_after(IMPORT_WORKER, tmp_path)


def test_the_seam_loads_without_torch(tmp_path):
    """One interpreter for all; the first of them that brings torch ends it with its name."""
    check = 'assert "torch" not in sys.modules, name'
    code = f"import importlib, sys\nfor name in {TORCH_FREE}:\n"
    modules_after(f"{code} importlib.import_module(f'alignment.{{name}}')\n {check}", tmp_path)


def sources(*folders: str) -> list[Path]:
    return [path for folder in folders for path in (ROOT / folder).rglob("*.py")]


def test_celery_is_never_eager():
    word = "ALWAYS" + "_EAGER"
    assert not [path for path in sources("webapp", "tests") if word in path.read_text().upper()]


def imported(text: str) -> set[str]:
    """The packages that a module imports, wherever it does."""
    found = set()
    for node in ast.walk(ast.parse(text)):
        match node:
            case ast.Import(names=names):
                found |= {alias.name.split(".")[0] for alias in names}
            case ast.ImportFrom(module=str(module)):
                found.add(module.split(".")[0])
    return found


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
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in getattr(node, "names", [])]
            names.append(getattr(node, "module", "") or "")
            assert not [n for n in names if n.split(".")[0] in {"torch", "transformers"}], path
