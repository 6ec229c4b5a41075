"""Pictures of every page, and what axe finds on them: `python -m tests.screenshots [--out DIR]`.

Works on a copy of the database of a finished demo, so that nothing of it changes. A second, empty
project shows the empty states; runs put into each state in the copy show the others.
"""

import argparse
import json
import os
import shutil
import sqlite3
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parent.parent
AXE = ROOT / "node_modules" / "axe-core" / "axe.min.js"
SIZES = {"wide": (1280, 800), "phone": (360, 740)}
SCHEMES = ("light", "dark")


@contextmanager
def copied_var() -> Iterator[Path]:
    """A temporary VAR with a consistent copy of the demo's database; blobs are shared by a link."""
    source = Path(os.environ.get("ATTUNE_VAR", ROOT / "var"))
    with tempfile.TemporaryDirectory(prefix="attune-shots-") as name:
        var = Path(name)
        with sqlite3.connect(source / "attune.sqlite3") as old:
            old.execute("VACUUM INTO ?", [str(var / "attune.sqlite3")])
        shutil.copy(source / "secret_key", var)
        (var / "store").symlink_to(source / "store")
        yield var


def prepare() -> tuple[str, dict[str, str]]:
    """An admin's session, and the address of every page by name."""
    from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
    from django.contrib.sessions.backends.db import SessionStore

    from webapp.accounts.models import OneTimeLink, User, new_link

    admin = User.objects.create_superuser("shots", password=None, first_name="Robin")
    session = SessionStore()
    session[SESSION_KEY] = str(admin.pk)
    session[BACKEND_SESSION_KEY] = "django.contrib.auth.backends.ModelBackend"
    session[HASH_SESSION_KEY] = admin.get_session_auth_hash()
    session.save()
    token = new_link(OneTimeLink.Purpose.SETUP)
    return session.session_key, {"setup": f"/setup/{token}/", **addresses()}


def addresses() -> dict[str, str]:
    """Every page of the demo's project and of an empty one, and a run in every state."""
    from django.urls import reverse

    from webapp.projects.models import Project

    full = Project.objects.order_by("pk").first()
    empty = Project.objects.create(name="An empty project")
    pages = {"login": "/accounts/login/", "home": "/", "missing": "/p/0/"}
    lists = [
        "project", "labeling:label", "prompts", "labeling:tasks", "labeling:labels",
        "datasets:snapshots", "rounds:list", "rounds:launch", "registry:models", "runs:list",
        "members",
    ]  # fmt: skip
    for name in lists:
        pages[name.replace(":", "-")] = reverse(name, args=[full.pk])
        pages[f"empty-{name.replace(':', '-')}"] = reverse(name, args=[empty.pk])
    for name, row in {
        "datasets:snapshot": full.snapshots.first(),
        "rounds:detail": full.rounds.first(),
        "registry:model": full.artifacts.models().first(),
    }.items():
        pages[name.replace(":", "-")] = reverse(name, args=[full.pk, row.pk])
    for run in full.runs.all():
        pages[f"run-{run.kind}"] = reverse("runs:detail", args=[full.pk, run.pk])
    return pages | states(full)


def states(project: object) -> dict[str, str]:
    """Copies of the alignment run and of its round, put into each state."""
    from django.urls import reverse

    from webapp.rounds.models import Round
    from webapp.runs.models import Run

    pages = {}
    messages = {
        "queued": "",
        "running": "",
        "failed": "The loss was nan at step 12; try a lower learning rate.",
        "interrupted": "The worker stopped answering; another one takes the run up.",
        "cancelled": "",
    }
    source = Run.objects.filter(project=project, kind="align").first()
    metrics = list(source.metrics.filter(step__lte=20))
    for number, (state, message) in enumerate(messages.items()):
        run = Run.objects.get(pk=source.pk)
        run.pk, run.state, run.message, run.step = None, state, message, 20
        run.idempotency_key, run.ended_at, run.summary = f"shots-{state}", None, {}
        run.save()
        for metric in metrics:
            metric.pk, metric.run = None, run
        if state != "queued":
            run.metrics.bulk_create(metrics)
        pages[f"run-{state}"] = reverse("runs:detail", args=[project.pk, run.pk])
        old = Round.objects.filter(project=project).order_by("number").first()
        parts = [part for part in old.parts.all() if part.part in {"reward", "align"}]
        old.pk, old.number, old.idempotency_key = None, 100 + number, f"shots-{state}"
        old.save()
        for part in parts:
            part.pk, part.round = None, old
            part.run = run if part.part == "align" else part.run
            part.save()
        pages[f"round-{state}"] = reverse("rounds:detail", args=[project.pk, old.pk])
    return pages


def shoot(url: str, session: str, pages: dict[str, str], out: Path) -> list[str]:
    """Take every picture; what axe or the layout says against a page."""
    from playwright.sync_api import sync_playwright

    findings = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        for size, (width, height) in SIZES.items():
            for scheme in SCHEMES:
                context = browser.new_context(
                    viewport={"width": width, "height": height}, color_scheme=scheme
                )
                context.add_cookies([{"name": "sessionid", "value": session, "url": url}])
                page = context.new_page()
                page.on("pageerror", lambda error: findings.append(f"script: {error}"))
                for name, address in pages.items():
                    if name in {"login", "setup"}:
                        context.clear_cookies()
                    page.goto(url + address, wait_until="load")
                    page.wait_for_function("document.readyState === 'complete'")
                    if name.startswith(("run-", "round")):
                        page.wait_for_timeout(600)
                    page.screenshot(path=out / f"{name}-{size}-{scheme}.png", full_page=True)
                    findings += [f"{name} {size} {scheme}: {text}" for text in examine(page)]
                    context.add_cookies([{"name": "sessionid", "value": session, "url": url}])
                context.close()
        browser.close()
    return findings


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


def main() -> int:
    """Take the pictures; exit 1 where something was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "screenshots")
    parser.add_argument("--only", help="pages whose name contains this")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    with copied_var() as var:
        os.environ |= {"ATTUNE_VAR": str(var), "DJANGO_SETTINGS_MODULE": "webapp.settings"}
        os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"
        import django

        django.setup()
        from webapp.stack import WebOnly

        session, pages = prepare()
        if options.only:
            pages = {name: path for name, path in pages.items() if options.only in name}
        with WebOnly() as stack:
            findings = shoot(stack.url, session, pages, options.out)
    sys.stdout.write("\n".join([*findings, f"{len(pages)} pages, {len(findings)} findings"]) + "\n")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
