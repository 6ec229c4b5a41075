"""A real Chromium."""

import os
import shutil

import pytest
from playwright.sync_api import expect, sync_playwright

# The headless shell is the same browser without its windows, at half the work.
CHROMIUM = (
    os.environ.get("ATTUNE_CHROMIUM")
    or shutil.which("chromium-headless-shell")
    or shutil.which("chromium")
)
# The tab of a test takes over the process of the last one's.
FLAGS = ["--no-sandbox", "--renderer-process-limit=1"]
expect.set_options(timeout=20_000)  # ms; two cores are shared by four processes of tests
os.environ.setdefault("DJANGO_ALLOW_ASYNC_UNSAFE", "true")  # playwright's loop runs in this thread


@pytest.fixture(scope="session")
def chromium():
    if CHROMIUM is None:
        pytest.skip("browser: no Chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def project(project):
    """Tests press keys faster than anybody reads: what a look must take is tested by itself."""
    project.min_visible_ms = 0
    project.save()
    return project


@pytest.fixture
def context(chromium):
    """A window of its own, in which nothing may go wrong unseen."""
    context = chromium.new_context(viewport={"width": 1280, "height": 800})
    errors = []
    context.on("weberror", lambda error: errors.append(str(error.error)))
    yield context
    context.close()
    assert not errors


@pytest.fixture
def browser_page(context):
    return context.new_page()
