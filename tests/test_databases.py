"""An empty database with all tables is kept for the next run of the tests, until what makes it changes."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from tests import databases


@pytest.fixture
def app(tmp_path, monkeypatch):
    """The folder of the only app, whose migration takes something from another module."""
    monkeypatch.setattr(databases, "ROOT", tmp_path)
    folder = tmp_path / "webapp" / "people"
    (folder / "migrations").mkdir(parents=True)
    (folder / "migrations" / "0001_first.py").write_text("from webapp.people.names import Name\n")
    (folder / "names.py").write_text("Name = str")
    config = SimpleNamespace(path=str(folder))
    monkeypatch.setattr(databases.apps, "get_app_configs", lambda: [config])
    return folder


@pytest.mark.parametrize(
    "name", ["migrations/0001_first.py", "migrations/0002_more.py", "names.py"]
)
def test_what_migrations_are_made_of_is_what_it_is_known_by(app, name):
    before = databases.digest()
    assert databases.digest() == before
    with (app / name).open("a") as file:
        file.write("# changed\n")
    assert databases.digest() != before


def test_it_is_made_once_and_copied_from_then_on(app, tmp_path, monkeypatch):
    made = []

    def migrate(command, verbosity):
        made.append(command)
        Path(databases.connection.settings_dict["NAME"]).write_text(f"{len(made)}")

    monkeypatch.setattr(databases, "call_command", migrate)
    (tmp_path / "kept").mkdir()
    for name in ("one", "two"):
        databases.migrate(tmp_path / name, tmp_path / "kept")
    (app / "names.py").write_text("Name = bytes")
    databases.migrate(tmp_path / "three", tmp_path / "kept")
    assert [(tmp_path / name).read_text() for name in ("one", "two", "three")] == ["1", "1", "2"]
    assert len(list((tmp_path / "kept").iterdir())) == 1
