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
# The tab of a test takes over the process of the last one's; the browser draws and fetches in its own.
FLAGS = [
    "--no-sandbox",
    "--renderer-process-limit=1",
    "--in-process-gpu",
    "--enable-features=NetworkServiceInProcess2",
]
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


@pytest.fixture(scope="session")
def windows(chromium, live_server):
    """One window after the other, as new: its scripts are compiled, its process has started."""
    windows = Windows(chromium, f"{live_server.url}/healthz")
    yield windows
    windows.close()


class Windows:
    """A window that every test finds as new, or a new one where a test left what cannot be taken back."""

    def __init__(self, browser, address):
        self.browser, self.address = browser, address
        self.context = self.parked = None
        self.spoiled = []  # windows with what cannot be taken back: a crash, a clock, a script for every page

    def take(self):
        """The window, without what was there before; the page that is parked in it keeps its process."""
        if self.context is None:
            self.context = self.browser.new_context(viewport={"width": 1280, "height": 800})
            self.parked = self.context.new_page()
            self.parked.on("crash", lambda _: self.spoiled.append(self.context))
            self.notice(self.context, "add_init_script")
            self.notice(self.context.clock, "install")
            self.parked.goto(self.address)
        return self.context

    def notice(self, owner, name):
        """Spoil the window when this is done to it."""
        act, context = getattr(owner, name), self.context

        def done(*arguments, **options):
            self.spoiled.append(context)
            return act(*arguments, **options)

        setattr(owner, name, done)

    def give_back(self):
        """Take back what a test did with the window."""
        for page in self.context.pages:
            if page != self.parked:
                page.close()
        self.context.set_offline(False)
        self.context.unroute_all()
        self.context.clear_cookies()
        devtools = self.context.new_cdp_session(self.parked)
        devtools.send("Storage.clearDataForOrigin", {"origin": "*", "storageTypes": "all"})
        devtools.detach()

    def close(self):
        """Open a new one for the next test."""
        if self.context is not None:
            self.context.close()
        self.context = self.parked = None


@pytest.fixture
def context(windows):
    """A window as new, in which nothing may go wrong unseen."""
    context, errors = windows.take(), []

    def note(error):
        errors.append(str(error.error))

    context.on("weberror", note)
    yield context
    context.remove_listener("weberror", note)
    if context in windows.spoiled:
        windows.close()
    else:
        windows.give_back()
    assert not errors


@pytest.fixture
def browser_page(context):
    return context.new_page()
