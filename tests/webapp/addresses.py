"""Every address of the dashboard, and a project with a real row for each part of one."""

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

from django.conf import settings
from django.contrib.auth.models import AnonymousUser
from django.http import HttpResponse
from django.test import Client
from django.test.client import ClientHandler
from django.urls import URLPattern, URLResolver, get_resolver, reverse

from tests.factories import (
    a_kept_adapter,
    a_label,
    a_project,
    a_ranking,
    a_reward_from_code,
    a_run,
    a_sweep,
    a_user,
    an_artifact,
    some_prompts,
    some_proposals,
    some_tasks,
)
from webapp.accounts.models import OneTimeLink, User, new_link
from webapp.accounts.roles import Role
from webapp.datasets.services import freeze_snapshot
from webapp.jobs.models import Job
from webapp.jobs.models import State as JobState
from webapp.people.links import invite, reset_link
from webapp.people.panels import make_panel, token_of_panel
from webapp.projects.models import Project
from webapp.rounds.config import PRESETS
from webapp.rounds.services import start_round
from webapp.webhooks.services import make_webhook, try_webhook

RANKED = {"train": 40, "validation": 9, "test": 10}  # enough for a round


class Address(NamedTuple):
    """One URL pattern: its name, and the names of its parts."""

    name: str
    parts: frozenset[str]

    def of(self, parts: dict[str, object]) -> str:
        """The path with these parts filled in."""
        return reverse(self.name, kwargs={part: parts[part] for part in self.parts})


def addresses() -> list[Address]:
    """All of them, as Django knows them."""
    return sorted(_walk(get_resolver(), "", frozenset()))


def _walk(resolver: URLResolver, space: str, parts: frozenset[str]) -> Iterator[Address]:
    for entry in resolver.url_patterns:
        below = parts | set(entry.pattern.converters)
        if isinstance(entry, URLPattern):
            yield Address(space + (entry.name or str(entry.pattern)), below)
        else:
            inner = f"{space}{entry.namespace}:" if entry.namespace else space
            yield from _walk(entry, inner, below)


class World(NamedTuple):
    """A project in which every page has something to show, and its people."""

    project: Project
    people: dict[str, User | AnonymousUser]
    parts: dict[str, object]
    own: dict[str, dict[str, object]]  # parts that only one address has

    def path(self, address: Address) -> str:
        """Where this world's rows are at this address."""
        return address.of(self.parts | self.own.get(address.name, {}))


def a_world(folder: Path) -> World:
    """The project, with a person of every kind."""
    project = a_project()
    people = {role.value: a_user(project, role) for role in Role}
    admin = people["admin"]
    for split, number in RANKED.items():
        for prompt in some_prompts(project, number, split=split):
            a_ranking(prompt, 0, 1)
    task, *_ = some_tasks(project, 6)
    a_label(task, annotator=people["annotator"])
    policy = an_artifact(project, folder)
    snapshot = freeze_snapshot(project, by=admin)
    config = PRESETS["quick"].config
    made = start_round(
        snapshot=snapshot,
        policy=policy,
        config=config,
        key=f"world-{project.pk}",
        created_by=admin,
    )
    membership = project.memberships.get(user=people["annotator"])
    invitation = invite(project, Role.ANNOTATOR, by=admin)
    panel = make_panel(project, name="Crowd", quota=5, places=3)
    parts = {
        "project_id": project.pk,
        "task_id": task.pk,
        "snapshot_id": snapshot.pk,
        "artifact_id": policy.pk,
        "round_id": made.pk,
        "run_id": a_run(project).pk,
        "model_id": policy.pk,
        "sweep_id": a_sweep(project).pk,
        "action": "cancel",
        "membership_id": membership.pk,
        "link_id": OneTimeLink.objects.invitations(project.pk).get().pk,
        "job_id": _export(project).pk,
        "panel_id": panel.pk,
        "question_id": task.questions.create(project=project, by=admin, text="Why?").pk,
        "wish_id": project.wishes.create(what="written", wanted=1).pk,
    }
    hook, _secret = make_webhook(
        project, url="https://example.org/hook", acts=["run.ended"], by=admin
    )
    parts |= {"webhook_id": hook.pk, "delivery_id": try_webhook(hook, by=admin).pk}
    page = {"link": "0" * 16}  # of a link that this browser did not come by
    own = {
        "accounts:setup_page": page,
        "accounts:invitation_page": page,
        "accounts:reset_page": page,
        "accounts:setup": {"token": new_link(OneTimeLink.Purpose.SETUP)},
        "accounts:invitation": {"token": invitation},
        "accounts:panel": {"token": token_of_panel(panel)},
        "accounts:reset": {"token": reset_link(people["annotator"], by=admin)},
        "datasets:confirm": {"job_id": _preview(project).pk},
        "registry:adapter": {"artifact_id": a_kept_adapter(project, folder).pk},
        "registry:source": {"artifact_id": a_reward_from_code(project, folder).pk},
        "quality:scores": {"artifact_id": some_proposals(project, folder, []).pk},
    }
    return World(project, people, parts, own)


def _export(project: Project) -> Job:
    job = Job.objects.create(
        project=project,
        kind="export",
        state=JobState.DONE,
        result={"file": "export.zip", "bytes": 2, "pairs": {"train": 1}},
        key=f"export-{project.pk}",
    )
    job.folder.mkdir(parents=True)
    (job.folder / "export.zip").write_bytes(b"PK")
    return job


def _preview(project: Project) -> Job:
    return Job.objects.create(
        project=project,
        kind="preview",
        state=JobState.DONE,
        payload={"upload": "none", "name": "none.jsonl", "format": "prompts"},
        result={"refused": 0, "format": "prompts"},
        key=f"preview-{project.pk}",
    )


def session_of(user: User) -> str:
    """The key of a session in which somebody is signed in."""
    client = Client()
    client.force_login(user)
    return client.cookies[settings.SESSION_COOKIE_NAME].value


def client_with(session: str | None, **options: object) -> Client:
    """A browser that has this session, or none."""
    client = Client(raise_request_exception=False, **options)
    client.handler = _handler(client.handler.enforce_csrf_checks)
    if session:
        client.cookies[settings.SESSION_COOKIE_NAME] = session
    return client


@cache
def _handler(enforce_csrf_checks: bool) -> ClientHandler:
    """Loaded once for all clients; middleware is the same for each."""
    return ClientHandler(enforce_csrf_checks=enforce_csrf_checks)


def look(client: Client, url: str) -> HttpResponse:
    """What a browser shows that opens a link."""
    return client.get(url, follow=True)


def use(
    client: Client, url: str, words: dict[str, str] | None = None, **options: object
) -> HttpResponse:
    """Open a link, and send its form."""
    page = client.get(url).headers.get("Location", url)
    return client.post(page, words, **options)
