"""The demo on a model that somebody brings: what is played, and how its folder is allowed."""

import os

import pytest

from tests.webapp.demo.test_scenario import Listener, Machine
from webapp.accounts.models import User
from webapp.artifacts.sources import trainer_inputs
from webapp.demo.brought import ALLOWED, script_of
from webapp.demo.scenario import ANNOTATORS, Demo, DemoError, simulated_logins
from webapp.projects.models import Project
from webapp.runs.models import State


@pytest.fixture
def folder(tmp_path, monkeypatch, settings):
    """A model's folder, of which only the name of a file is looked at."""
    monkeypatch.setenv(ALLOWED, "")
    settings.MODEL_FOLDERS = ("/elsewhere",)
    place = tmp_path / "small-instruct"
    place.mkdir()
    (place / "config.json").write_text("{}")
    return place


def test_the_folder_alone_is_allowed_beside_what_was(folder, monkeypatch):
    monkeypatch.chdir(folder.parent)
    script = script_of("small-instruct")
    assert os.environ[ALLOWED].split(os.pathsep) == [str(folder), "/elsewhere"]
    assert script.model.config.name == "small-instruct"
    found = trainer_inputs(script.model.config, "key")
    assert found == {"source": str(folder), "root": str(folder)}


def test_a_name_of_the_hub_is_asked_for_there(folder):
    script = script_of("HuggingFaceTB/SmolLM2-135M-Instruct")
    assert (script.model.config.source, script.model.config.name) == (
        "hub",
        "HuggingFaceTB/SmolLM2-135M-Instruct",
    )
    assert os.environ[ALLOWED] == ""


def test_what_is_neither_is_refused_in_words(folder):
    with pytest.raises(DemoError, match=r"There is no folder \./nowhere"):
        script_of("./nowhere")
    (folder / "config.json").unlink()
    with pytest.raises(DemoError, match=r"no config\.json in it"):
        script_of(str(folder))


@pytest.mark.django_db
def test_its_project_is_its_own_and_the_simulated_people_are_the_same(folder):
    stack, listener = Machine(State.SUCCEEDED), Listener()
    demo = Demo(stack, listener, script_of(str(folder)))
    project = demo.project()
    other = Project.objects.create(name="Demo: helpful answers")
    assert project.name == "Demo: small-instruct"
    assert project.prompts.count() == 150
    simulated_logins(other)
    logins = simulated_logins(project)
    assert User.objects.filter(simulated=True).count() == ANNOTATORS
    assert project.memberships.count() == other.memberships.count() == ANNOTATORS
    person = User.objects.get(username=logins[0].username)
    assert person.check_password(logins[0].password)
    run = demo.begin(project, demo.script.model)
    assert (run.kind, run.idempotency_key) == ("import", "demo-import-0")
    assert demo.begin(project, demo.script.model) == run
