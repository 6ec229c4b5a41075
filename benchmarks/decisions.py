"""Each kind of task in a real browser, by keyboard alone: how soon the next card is there, and what a decision costs.

Tasks are what an import of OASST trees makes of them; reviews are of its prompts, and a conversation waits for its model
and is left out. `next_ms`: from the last key of an answer to the frame after the one with the next card in it.
`requests` and `bytes` (compressed, towards the browser) are all that went over the wire meanwhile, a decision.
"""

import json
import statistics
import sys
from argparse import ArgumentParser
from io import StringIO
from pathlib import Path

from django.conf import settings
from django.core.management import call_command
from django.urls import reverse
from playwright.sync_api import Browser, Page, TimeoutError, sync_playwright

from benchmarks.cards import LOOK, opened, signed_in
from tests import ground
from tests.browser.conftest import CHROMIUM
from tests.factories import a_project, a_user
from tests.stack import Stack
from webapp.accounts.roles import Role
from webapp.labeling.models import Label
from webapp.labeling.queue import CARDS
from webapp.labeling.reviews import ask_for_reviews
from webapp.projects.models import Project, PromptStanding
from webapp.projects.services import set_reviews

TREES = Path("../shared/data/oasst_en_100_tree.jsonl")
LIMITS = {"next_ms_p95": 100.0, "requests": 2.0, "bytes": 6000}  # bytes: of a comparison
BETWEEN = 0.15  # seconds between two keys: quicker ones nobody means
SCROLLED = 0.3  # seconds after which a page has come to rest
CARD = "article:not([hidden])"
KEYS = {  # for a card with so many answers
    "compare": lambda _answers: ["2"],
    "thumbs": lambda _answers: ["1"],
    "flags": lambda _answers: ["0"],
    "rate": lambda answers: ["5"] * answers,
    "rank": lambda answers: [*map(str, range(1, answers + 1)), "Enter"],
    "edit": lambda _answers: ["1"],
    "demonstrate": lambda _answers: ["e", "A", "Control+Enter"],
    "review": lambda _answers: ["1"],
}
WATCH = """() => {
  window.times = [];
  let [start, before] = [null, null];
  const shown = () => document.querySelector("article:not([hidden])");
  addEventListener("keydown", () => [start, before] = [performance.now(), shown()], true);
  const look = () => {
    const now = shown();
    if (start !== null && now !== before && now?.getBoundingClientRect().height) {
      const began = start;
      start = null;
      requestAnimationFrame(() => times.push(performance.now() - began));
    }
    requestAnimationFrame(look);
  };
  requestAnimationFrame(look);
}"""

IS_LONG = """[document.scrollingElement, ...document.querySelectorAll("article:not([hidden]) :is(.answer, .several)")]
  .some((box) => box.scrollHeight > box.clientHeight)"""
PLACES = """[scrollY, ...[...document.querySelectorAll("article:not([hidden]) :is(.answer, .several)")]
  .map((box) => box.scrollTop)]"""
ANSWERED = """(before) => document.getElementById("saved").textContent === "saved ✓"
  && document.querySelector("article:not([hidden])")?.dataset.assignment !== before"""


def imported(kind: str, trees: Path, number: int) -> Project:
    """A project in which tasks of a kind wait that an import has made."""
    project = a_project(min_visible_ms=0)
    review = kind == "review"
    become = ("prompts",) if review else ("tasks", "--kind", kind)
    call_command("import_feedback", project.name, trees, "--as", *become, stdout=StringIO())
    if review:
        set_reviews(project, reviews=1, accepts=1)
        for prompt in project.prompts.order_by("pk")[:number]:
            prompt.standing = PromptStanding.WAITING
            prompt.save()
            ask_for_reviews(prompt)
    return project


def read_all(page: Page) -> None:
    """Page through a card whose texts are longer than the window, as who reads it does: answers need texts that
    were seen."""
    before = None
    while (now := page.evaluate(PLACES)) != before:
        before = now
        page.keyboard.press("PageDown")
        page.wait_for_timeout(SCROLLED * 1000)


def answer(page: Page, kind: str) -> int:
    """Look at a card and answer it; wait until that is saved. How many keys that took."""
    page.wait_for_timeout(LOOK * 1000)
    if page.evaluate(IS_LONG):
        read_all(page)
    card = page.locator(CARD)
    before = card.get_attribute("data-assignment")
    keys = KEYS[kind](card.locator(".answer").count())
    for key in keys:
        page.keyboard.press(key)
        if key != keys[-1]:
            page.wait_for_timeout(BETWEEN * 1000)
    try:
        page.wait_for_function(ANSWERED, arg=before)
    except TimeoutError as error:
        said = page.locator("#label-notice, #saved").all_inner_texts()
        raise RuntimeError(f"{kind}: after {' '.join(keys)} the page says {said}") from error
    return len(keys)


def costs(browser: Browser, url: str, kind: str, trees: Path, number: int) -> dict[str, object]:
    """What answers of one kind cost."""
    project = imported(kind, trees, number + CARDS)
    person = a_user(project, Role.ANNOTATOR)
    with signed_in(browser, url, person) as window:
        page = window.new_page()
        opened(page, url + reverse("labeling:label", args=[project.pk]))
        wire = window.new_cdp_session(page)
        wire.send("Network.enable")
        asked: list[str] = []
        sizes: list[int] = []
        wire.on("Network.requestWillBeSent", lambda event: asked.append(event["request"]["url"]))
        wire.on("Network.loadingFinished", lambda event: sizes.append(event["encodedDataLength"]))
        page.evaluate(WATCH)
        keys = [answer(page, kind) for _ in range(number)]
        page.wait_for_timeout(LOOK * 1000)
        times = sorted(page.evaluate("times"))
    stored = Label.objects.filter(project=project).current().count()
    if stored != number:
        raise RuntimeError(f"{kind}: {number} answers were given, {stored} are stored")
    return {
        "kind": kind,
        "keys": round(statistics.mean(keys), 1),
        "next_ms_p50": round(statistics.median(times), 1),
        "next_ms_p95": round(times[min(len(times) - 1, int(0.95 * len(times)))], 1),
        "requests": round(len(asked) / number, 2),
        "bytes": round(sum(sizes) / number),
        "n": len(times),
    }


def beyond(row: dict[str, object]) -> list[str]:
    """Which limits a kind does not keep."""
    limits = LIMITS if row["kind"] == "compare" else LIMITS | {"bytes": float("inf")}
    return [f"{row['kind']}: {name} {row[name]}" for name in limits if row[name] > limits[name]]


def main() -> int:
    """Measure every kind, print the figures; 0 when all keep their limits."""
    parser = ArgumentParser(parents=[ground.database_option()], description=__doc__)
    parser.add_argument("--answers", type=int, default=40, help="given to tasks of each kind")
    parser.add_argument("--trees", type=Path, default=TREES)
    parser.add_argument("--kinds", type=lambda said: said.split(","), default=list(KEYS))
    options = parser.parse_args()
    with (
        Stack(Path(settings.VAR), settings.BROKER_SOCKET) as stack,
        sync_playwright() as playwright,
    ):
        url = stack.web().url
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        rows = [costs(browser, url, kind, options.trees, options.answers) for kind in options.kinds]
        browser.close()
    found = [line for row in rows for line in beyond(row)]
    told = {"database": options.database, "limits": LIMITS, "kinds": rows, "beyond": found}
    print(json.dumps(told))
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
