"""Pictures of every page, and what axe finds on them: `python -m tests.screenshots [--out DIR]`.

Works on a copy of the database of a finished demo, so that nothing of it changes. A second, empty
project shows the empty states; runs, rounds and jobs put into each state in the copy show the others.
"""

import argparse
import json
import os
import shutil
import sqlite3
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import product
from pathlib import Path

ROOT = Path(__file__).parent.parent
AXE = ROOT / "node_modules" / "axe-core" / "axe.min.js"
SIZES = {"wide": (1280, 800), "phone": (360, 740)}
SCHEMES = ("light", "dark")
MESSAGES = {
    "queued": "",
    "running": "",
    "failed": "The loss was nan at step 12; try a lower learning rate.",
    "interrupted": "The worker stopped answering; another one takes the run up.",
    "cancelled": "",
}
SIGNED_OUT = {
    "account-login",
    "account-reset-password",
    "account-inactive",
    "setup",
    "disconnected",
}


@contextmanager
def copied_var() -> Iterator[Path]:
    """A temporary VAR with a consistent copy of the demo's database; the store is shared by a link."""
    source = Path(os.environ.get("ATTUNE_VAR", ROOT / "var"))
    with tempfile.TemporaryDirectory(prefix="attune-shots-") as name:
        var = Path(name)
        with sqlite3.connect(source / "attune.sqlite3") as old:
            old.execute("VACUUM INTO ?", [str(var / "attune.sqlite3")])
        shutil.copy(source / "secret_key", var)
        (var / "store").symlink_to(source / "store")
        yield var


def an_admins_session() -> str:
    """The key of a session of a new admin of everything."""
    from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY

    from webapp.accounts.models import User
    from webapp.projects.sessions import SessionStore

    admin = User.objects.create_superuser("shots", password=None, first_name="Robin")
    session = SessionStore()
    session[SESSION_KEY] = str(admin.pk)
    session[BACKEND_SESSION_KEY] = "django.contrib.auth.backends.ModelBackend"
    session[HASH_SESSION_KEY] = admin.get_session_auth_hash()
    session["account_authentication_methods"] = [{"method": "password", "at": time.time()}]
    session.save()
    return session.session_key


def addresses() -> dict[str, str]:
    """Every page of the demo's project and of an empty one, by the name of its picture."""
    from webapp.projects.models import Project

    full = Project.objects.order_by("pk").first()
    empty = Project.objects.create(name="An empty project")
    pages = {"missing": "/p/0/", "account-login": "/accounts/login/"} | resolved(full, empty)
    for run in full.runs.all():
        how = "".join(
            f"-{run.config[name]}" for name in ("objective", "loss") if name in run.config
        )
        pages[f"run-{run.kind}{how}"] = reversed_for("runs:detail", full, run)
    pages |= start_pages(full, empty)
    return pages | run_states(full) | round_states(full) | job_states(full) | links(full)


def resolved(full: object, empty: object) -> dict[str, str]:
    """What the resolver knows and answers with a page: for a project with all, and for one with nothing."""
    from tests.webapp.addresses import addresses as known
    from webapp.accounts.models import User

    client = admins_client(User.objects.get(username="shots"))
    parts, pages = parts_of(full), {}
    for address in known():
        name = address.name.replace(":", "-").replace("_", "-")
        if address.name.startswith("api") or not address.parts <= parts.keys():
            continue
        found = {name: address.of(parts)}
        if address.parts == {"project_id"}:
            found[f"empty-{name}"] = address.of({"project_id": empty.pk})
        pages |= {name: path for name, path in found.items() if is_page(client.get(path))}
    return pages


def admins_client(person: object) -> object:
    """A browser without a window."""
    from django.test import Client

    client = Client(SERVER_NAME="localhost")
    client.force_login(person)
    return client


def is_page(response: object) -> bool:
    """Whether somebody is shown a whole page."""
    if response.status_code != 200 or not response.get("Content-Type", "").startswith("text/html"):
        return False
    return not response.streaming and b"<main" in response.content


def parts_of(project: object) -> dict[str, int]:
    """A row of the project for each part of an address."""
    from tests.factories import a_sweep
    from webapp.labeling.asked import Question
    from webapp.labeling.models import Task
    from webapp.webhooks.models import Webhook

    made = project.artifacts.models()
    by = project.memberships.first().user
    hook = Webhook.objects.create(
        project=project, url="https://hooks.example/", acts=["run.ended"], salt="0" * 32
    )
    task = Task.objects.filter(project=project).first()
    question = Question.objects.create(task=task, project=project, by=by, text="Is it long enough?")
    rows = {
        "snapshot_id": project.snapshots.first(),
        "round_id": project.rounds.first(),
        "artifact_id": made.filter(uses__run__kind="quantise").first() or made.first(),
        "run_id": project.runs.first(),
        "membership_id": project.memberships.first(),
        "job_id": project.jobs.first(),
        "sweep_id": a_sweep(project),
        "webhook_id": hook,
        "question_id": question,
        "task_id": task,
    }
    return {"project_id": project.pk} | {name: row.pk for name, row in rows.items() if row}


def reversed_for(name: str, project: object, row: object) -> str:
    """The page of a row."""
    from django.urls import reverse

    return reverse(name, args=[project.pk, row.pk])


def start_pages(project: object, empty: object) -> dict[str, str]:
    """The forms of all kinds of run: as they come, all unfolded, without what they need, refused."""
    from django.urls import reverse

    from webapp.launch.offers import offered

    pages = {}
    for kind in offered():
        address = reverse("runs:start", args=[project.pk]) + f"?kind={kind}"
        pages |= {f"start-{kind}": address, f"unfolded-{kind}": address}
    pages["unfolded-round"] = reverse("rounds:launch", args=[project.pk])
    pages["refused-align"] = reverse("runs:start", args=[project.pk]) + "?kind=align"
    pages["empty-start-align"] = reverse("runs:start", args=[empty.pk]) + "?kind=align"
    return pages


def unfold(page: object) -> None:
    """Open every fold of the page."""
    page.evaluate(
        "for (const fold of document.querySelectorAll('details.fold, form details')) fold.open = true"
    )


def refuse(page: object) -> None:
    """Send settings that contradict each other."""
    unfold(page)
    page.locator("[name=align-prompts_per_step]").fill("1000")
    page.locator("form.launch button.primary").click()
    page.locator(".field.wrong").wait_for()


ACTS = {"unfolded": unfold, "refused": refuse}  # by how the name of a picture begins


def run_states(project: object) -> dict[str, str]:
    """Copies of the alignment run, put into each state a third of the way."""
    from django.urls import reverse

    from webapp.runs.models import Run

    pages = {}
    source = Run.objects.filter(project=project, kind="align").first()
    metrics = list(source.metrics.filter(step__lte=source.total_steps // 3))
    for state, message in MESSAGES.items():
        run = Run.objects.get(pk=source.pk)
        run.pk, run.state, run.message, run.step = None, state, message, run.total_steps // 3
        run.idempotency_key, run.ended_at, run.summary = f"shots-{state}", None, {}
        run.save()
        for metric in metrics:
            metric.pk, metric.run = None, run
        if state != "queued":
            run.metrics.bulk_create(metrics)
        pages[f"run-{state}"] = reverse("runs:detail", args=[project.pk, run.pk])
    return pages


def round_states(project: object) -> dict[str, str]:
    """Rounds whose alignment is one of the runs of `run_states`."""
    from django.urls import reverse

    from webapp.rounds.models import Round, RoundRun
    from webapp.runs.models import Run

    pages = {}
    for number, state in enumerate(MESSAGES, start=100):
        made = Round.objects.filter(project=project).order_by("number").first()
        reward = made.parts.get(part="reward").run
        made.pk, made.number, made.idempotency_key = None, number, f"shots-{state}"
        made.save()
        align = Run.objects.get(idempotency_key=f"shots-{state}")
        RoundRun.objects.create(round=made, run=reward, part="reward")
        RoundRun.objects.create(round=made, run=align, part="align")
        pages[f"round-{state}"] = reverse("rounds:detail", args=[project.pk, made.pk])
    rows = Round.objects.filter(project=project).order_by("number")[:3]
    pages["compared-rounds"] = (
        reverse("rounds:compare", args=[project.pk])
        + "?"
        + "&".join(f"round={row.pk}" for row in rows)
    )
    return pages


def job_states(project: object) -> dict[str, str]:
    """An export in each state."""
    from django.urls import reverse

    from webapp.jobs.models import Job

    pages = {}
    for state in ("queued", "working", "failed", "cancelled"):
        job = Job.objects.create(
            project=project,
            kind="export",
            state=state,
            progress=40,
            total=100,
            key=f"shots-{state}",
            payload={"name": "attune-snapshot-1.zip"},
            message="The disk is full. Free some space and try again." * (state == "failed"),
        )
        pages[f"job-{state}"] = reverse("jobs:detail", args=[project.pk, job.pk])
    return pages


def links(project: object) -> dict[str, str]:
    """The pages behind one-time links."""
    from django.urls import reverse

    from webapp.accounts.models import OneTimeLink, new_link

    return {"setup": reverse("accounts:setup", args=[new_link(OneTimeLink.Purpose.SETUP)])}


def examine(page: object) -> list[str]:
    """Sideways scroll and accessibility violations of the page that is open."""
    found = []
    if page.evaluate("document.documentElement.scrollWidth > innerWidth + 1"):
        found.append("scrolls sideways")
    page.evaluate(AXE.read_text())
    for violation in page.evaluate("axe.run()")["violations"]:
        nodes = json.dumps([node["target"] for node in violation["nodes"]][:3])
        found.append(f"axe {violation['id']} ({violation['impact']}) {nodes}")
    return found


def shoot(browser: object, url: str, session: str, pages: dict[str, str], out: Path) -> list[str]:
    """Take every picture; what axe, a script or the layout says against a page."""
    from django.conf import settings

    findings: list[str] = []
    for (size, (width, height)), scheme in product(SIZES.items(), SCHEMES):
        viewport = {"width": width, "height": height}
        context = browser.new_context(viewport=viewport, color_scheme=scheme)
        page = context.new_page()
        page.on("pageerror", lambda error: findings.append(f"script: {error}"))
        for name, address in pages.items():
            context.clear_cookies()
            if name not in SIGNED_OUT:
                context.add_cookies(
                    [{"name": settings.SESSION_COOKIE_NAME, "value": session, "url": url}]
                )
            page.goto(url + address, wait_until="load")
            if (act := ACTS.get(name.split("-")[0])) is not None:
                act(page)
            if page.locator("figure:not([hidden]) [data-plot]").count():
                page.locator(".uplot canvas").first.wait_for(state="attached")
            page.screenshot(path=out / f"{name}-{size}-{scheme}.png", full_page=True)
            findings.extend(f"{name} {size} {scheme}: {text}" for text in examine(page))
        context.close()
    return findings


def main() -> int:
    """Take the pictures; exit 1 where something was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "screenshots")
    parser.add_argument("--only", default="", help="pages whose name contains this")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    with copied_var() as var:
        os.environ |= {"ATTUNE_VAR": str(var), "DJANGO_SETTINGS_MODULE": "webapp.settings"}
        os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"
        import django
        from playwright.sync_api import sync_playwright

        django.setup()
        from tests.browser.conftest import CHROMIUM
        from webapp.operations.stack import WebOnly, prepare_database

        prepare_database()
        session = an_admins_session()
        pages = {name: path for name, path in addresses().items() if options.only in name}
        with WebOnly() as stack, sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
            findings = shoot(browser, stack.url, session, pages, options.out)
            browser.close()
    sys.stdout.write("\n".join([*findings, f"{len(pages)} pages, {len(findings)} findings"]) + "\n")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
