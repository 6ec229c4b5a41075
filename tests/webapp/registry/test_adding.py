"""The page that adds a model, up to the run it queues."""

import io
import os
import time
from uuid import uuid4

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse
from pytest_django.asserts import assertContains, assertNotContains, assertRedirects

from alignment.kinds.bring.settings import ImportConfig
from alignment.kinds.spec import RunSpec
from tests.factories import a_project, a_run, a_user, a_worker, an_artifact, run_at
from webapp.accounts.roles import Role
from webapp.artifacts import sources
from webapp.artifacts.models import Artifact
from webapp.machine import uploads
from webapp.registry.adding import sweep_incoming
from webapp.runs import execution, folders, keeping
from webapp.runs.services import retry_run

pytestmark = pytest.mark.once


@pytest.fixture
def url(project):
    return reverse("registry:add", args=[project.pk])


@pytest.fixture
def form_page(project):
    return reverse("registry:upload", args=[project.pk])


@pytest.fixture
def inside(client, researcher):
    client.force_login(researcher)
    return client


@pytest.fixture
def admin(project, client):
    client.force_login(a_user(project, Role.ADMIN))
    return client


@pytest.fixture
def root(tmp_path, settings):
    """An allowed folder with one model folder in it."""
    (tmp_path / "models" / "ours" / "tiny").mkdir(parents=True)
    (tmp_path / "models" / "ours" / "tiny" / "config.json").write_text("{}")
    settings.MODEL_FOLDERS = [str(tmp_path / "models")]
    return tmp_path / "models"


def asked(**values):
    return {"key": uuid4(), "name": "Tiny", "template": "own", "base": ""} | values


def upload(name="config.json", content=b"{}"):
    return SimpleUploadedFile(name, content)


def test_annotators_cannot_add_models(project, client, url):
    client.force_login(a_user(project, Role.ANNOTATOR))
    assert client.get(url).status_code == client.post(url).status_code == 404


def test_only_admins_are_offered_an_upload(inside, url, form_page):
    assertNotContains(inside.get(url), form_page)
    assert inside.get(url, {"source": "upload"}).status_code == 404
    assert inside.post(form_page, asked(files=upload())).status_code == 404


def test_an_admin_is_offered_an_upload(admin, url, form_page):
    assertContains(admin.get(url), form_page)


def test_a_name_on_the_hub_becomes_a_run(project, inside, url):
    response = inside.post(url, asked(repository="owner/model", revision="v1"))
    run = project.runs.get()
    assertRedirects(response, reverse("runs:detail", args=[project.pk, run.pk]))
    assert (run.kind, run.config["name"], run.config["revision"]) == (
        "import", "owner/model", "v1",
    )  # fmt: skip


@pytest.mark.parametrize("name", ["../etc/passwd", "a/b/c", "http://host/model", "-x"])
def test_what_is_no_name_on_the_hub_is_refused(project, inside, url, name):
    assertContains(inside.post(url, asked(repository=name, revision="main")), "not a name")
    assert not project.runs.exists()


@pytest.mark.twice
def test_sending_the_form_twice_adds_one_model(project, inside, url):
    data = asked(repository="owner/model", revision="main")
    for _ in range(2):
        inside.post(url, data)
    assert project.runs.count() == 1


def test_without_the_hub_the_page_says_so(inside, url, settings):
    settings.HUB = False
    assertContains(inside.get(url), "The Hub is switched off here")


def test_without_allowed_folders_the_page_says_who_can_name_some(inside, url):
    assertContains(inside.get(url, {"source": "folder"}), "ATTUNE_MODEL_FOLDERS")


def test_folders_with_a_model_are_offered(inside, url, root):
    (root / "notes").mkdir()
    response = inside.get(url, {"source": "folder"})
    assert response.context["form"]["folder"].field.choices == [("models/ours/tiny",) * 2]


@pytest.mark.parametrize("path", ["/etc", "models/../../etc", "models/notes", "models"])
def test_a_folder_that_was_not_offered_cannot_be_chosen(project, inside, url, root, path):
    inside.post(f"{url}?source=folder", asked(folder=path))
    assert not project.runs.exists()


def test_a_linked_folder_is_not_offered(root, tmp_path):
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "config.json").write_text("{}")
    (root / "link").symlink_to(tmp_path / "secret")
    assert [folder.name for folder in sources.model_folders()] == ["models/ours/tiny"]


def claimed():
    return execution.claim("runs", a_worker())


def test_a_run_is_told_the_folder_and_the_root_it_may_not_leave(inside, url, root):
    inside.post(f"{url}?source=folder", asked(folder="models/ours/tiny"))
    inputs = RunSpec.load(folders.prepare(claimed())).inputs
    assert inputs == {"source": str(root / "ours" / "tiny"), "root": str(root)}


def test_a_folder_that_went_away_fails_the_run_in_words(inside, url, root):
    inside.post(f"{url}?source=folder", asked(folder="models/ours/tiny"))
    (root / "ours" / "tiny" / "config.json").unlink()
    with pytest.raises(sources.SourceError, match="models/ours/tiny"):
        folders.prepare(claimed())


def test_uploaded_files_wait_for_their_run(project, admin, form_page):
    admin.post(form_page, asked(files=[upload(), upload("merges.txt", b"a b")]))
    folder = uploads.place_of(project.runs.get().idempotency_key)
    assert RunSpec.load(folders.prepare(claimed())).inputs == {"source": str(folder)}
    assert sorted(path.name for path in folder.iterdir()) == ["config.json", "merges.txt"]


@pytest.mark.parametrize("name", ["pytorch_model.bin", "modeling_own.py", "a b.json", "x.h5"])
def test_a_file_that_may_run_code_is_refused_by_name(project, admin, form_page, name):
    assertContains(admin.post(form_page, asked(files=[upload(name)])), name)
    assert not project.runs.exists()


def test_an_upload_past_the_limit_is_not_read(project, admin, form_page, settings):
    settings.MODEL_GIB = 1e-9
    body = io.BytesIO(b"x" * (2 << 20))
    response = admin.post(form_page, asked(files=[body]), follow=True)
    assertContains(response, "A model may have at most")
    assert not project.runs.exists()


def test_files_past_the_limit_are_refused_beside_their_field(project, admin, form_page, settings):
    settings.MODEL_GIB = 1e-9
    response = admin.post(form_page, asked(files=[upload()]))
    assertContains(response, "GiB allowed here")


def test_an_upload_needs_a_token_like_every_form(project, form_page):
    client = Client(enforce_csrf_checks=True)
    client.force_login(a_user(project, Role.ADMIN))
    assert client.post(form_page, asked(files=[upload()])).status_code == 403
    assert not project.runs.exists()


def test_another_projects_model_is_no_base(project, inside, url, tmp_path):
    foreign = an_artifact(a_project(), tmp_path)
    data = asked(repository="owner/adapter", revision="main", base=foreign.pk)
    assertContains(inside.post(url, data), "Select a valid choice")


def test_an_encoder_decoder_is_no_base(project, inside, url, tmp_path):
    base = an_artifact(project, tmp_path)
    (base.path / "config.json").write_text('{"model_type": "bart"}')
    data = asked(repository="owner/adapter", revision="main", base=base.pk)
    assertContains(inside.post(url, data), "takes no encoder-decoder, and this model is one (BART)")
    assert not project.runs.exists()


@pytest.mark.twice
def test_the_base_of_an_adapter_is_an_input(project, inside, url, tmp_path):
    base = an_artifact(project, tmp_path)
    inside.post(url, asked(repository="owner/adapter", revision="main", base=base.pk))
    assert project.runs.get().inputs.get(role="base").artifact == base
    assert RunSpec.load(folders.prepare(claimed())).inputs == {"base": str(base.path)}


@pytest.fixture
def uploaded(project, db):
    """A failed run that was to add an upload."""
    config = ImportConfig(source="upload", name="config.json").model_dump()
    run = a_run(project, "import", config)
    uploads.keep_files(run.idempotency_key, [upload()])
    return run_at(run, state="failed")


def test_a_retried_run_finds_the_upload_of_the_first(uploaded, researcher):
    again = retry_run(uploaded, by=researcher)
    run_at(again, state="failed")
    retry_run(again, by=researcher)
    inputs = RunSpec.load(folders.prepare(claimed())).inputs
    assert inputs == {"source": str(uploads.place_of(uploaded.idempotency_key))}


def age(folder):
    os.utime(folder, (time.time() - 100_000,) * 2)


@pytest.mark.parametrize(
    ("state", "old", "kept"),
    [("failed", True, False), ("failed", False, True), ("queued", True, True)],
)
def test_an_upload_outlives_its_run_by_a_day(uploaded, state, old, kept):
    run_at(uploaded, state=state)
    folder = uploads.place_of(uploaded.idempotency_key)
    if old:
        age(folder)
    keeping.sweep()
    assert folder.exists() == kept


def test_a_models_page_shows_its_memory_by_kind_of_run(project, inside, tmp_path):
    model = an_artifact(project, tmp_path, summary={"memory": {"align": 3_200_000_000}})
    page = inside.get(reverse("registry:model", args=[project.pk, model.pk]))
    assertContains(page, "Align a model")
    assertContains(page, "about 3.2 GB")
    assert model.type == Artifact.Type.MODEL


def test_models_on_their_way_are_told_above_the_list(project, inside):
    run = a_run(project, "import", name="Coming")
    counted = {"phase_done": 1.0, "phase_total": 3.0, "phase_unit": "MB"}
    run_at(run, state="running", phase="fetching", **counted)
    run_at(a_run(project, "import", name="Broken"), state="failed")
    page = inside.get(reverse("registry:models", args=[project.pk]))
    assertContains(page, "(fetching: 1 of 3 MB)")
    assertNotContains(page, "Broken")


@pytest.mark.twice
def test_what_a_killed_trainer_left_is_removed_but_not_what_comes_in_now(project):
    run = run_at(a_run(project, "import"), state="running", epoch=2)
    left, coming = (folders.folder_of(run, epoch) / "incoming" for epoch in (1, 2))
    for folder in (left, coming):
        folder.mkdir(parents=True)
    sweep_incoming()
    assert (left.exists(), coming.exists()) == (False, True)


def test_each_source_is_a_link_to_its_form(admin, url, form_page):
    for address in (f"{url}?source=hub", f"{url}?source=folder", form_page):
        assertContains(admin.get(url), f'href="{address}"')
