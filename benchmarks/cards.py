"""The label page in a real browser: how soon a pair is there, and how many bytes a decision costs.

Texts of 20, 60 and 200 kB that no one has seen yet, both answers of every pair of that size: prose, headings,
tables, brackets. `open_s`: from asking for the page to the first pair laid out and ready for a key. `next_ms`:
from a key to the frame after the one with the next pair in it. `bytes_per_decision`: everything that went over
the wire to the browser while pairs of an OASST file were answered, for each answer; its floor is the same
texts, compressed as one.
"""

import gzip
import json
import statistics
import sys
import time
from argparse import ArgumentParser
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import combinations
from pathlib import Path

from django.conf import settings
from django.urls import reverse
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from benchmarks.intervals import ratio_of_medians
from tests import ground
from tests.browser.conftest import CHROMIUM
from tests.factories import a_completion, a_project, a_prompt, a_user, compare
from tests.stack import Stack
from tests.webapp.addresses import session_of
from webapp.accounts.models import User
from webapp.accounts.roles import Role
from webapp.labeling.models import Task
from webapp.labeling.queue import CARDS
from webapp.projects.models import Project

SIZES = (20_000, 60_000, 200_000)
LOOK = 0.4  # seconds that a person looks at a pair at least
LIMITS = {"open_s": 2.0, "next_ms": 100.0, "bytes_per_decision": 6000}
SENTENCE = (
    "A sentence {} that goes on for a while, as sentences of long answers do, and then ends. "
)
WATCH = """() => {
  window.times = [];
  const shown = () => document.querySelector("article:not([hidden])");
  addEventListener("keydown", () => {
    const [start, before] = [performance.now(), shown()];
    const look = () => shown() !== before && shown()?.getBoundingClientRect().height
      ? requestAnimationFrame(() => times.push(performance.now() - start)) : requestAnimationFrame(look);
    requestAnimationFrame(look);
  }, true);
}"""


def prose(size: int, number: int) -> str:
    """Paragraphs of six sentences."""
    text = ""
    while len(text) < size:
        text += SENTENCE.format(number) * 6 + "\n\n"
    return text[:size]


def headings(size: int, number: int) -> str:
    """Nothing else."""
    return f"# Heading {number}\n" * (size // 13)


def tables(size: int, number: int) -> str:
    """Tables of 300 columns, whose rows lack nearly all cells."""
    table = f"|a{number}" * 300 + "|\n" + "|-" * 300 + "|\n" + "|x|\n" * 300 + "\n"
    return (table * (size // len(table) + 1))[:size]


def brackets(size: int, number: int) -> str:
    """Links that are never closed."""
    return f"{number}" + "[" * size


KINDS: dict[str, Callable[[int, int], str]] = {
    "prose": prose,
    "headings": headings,
    "tables": tables,
    "brackets": brackets,
}


def a_queue(pairs: list[tuple[str, str, str]]) -> tuple[Project, User]:
    """A project in which these prompts and pairs of answers wait, and somebody to answer."""
    project = a_project()
    made = []
    for number, (asked, one, other) in enumerate(pairs):
        prompt = a_prompt(project, f"{asked}\n\n({number})")
        made.append((a_completion(prompt, one), a_completion(prompt, other)))
    compare(project, made, need=1)
    return project, a_user(project, Role.ANNOTATOR)


@contextmanager
def signed_in(browser: Browser, url: str, person: User) -> Iterator[BrowserContext]:
    """A window of its own of that person."""
    window = browser.new_context(viewport={"width": 1280, "height": 800})
    cookie = {"name": settings.SESSION_COOKIE_NAME, "value": session_of(person), "url": url}
    window.add_cookies([cookie])
    yield window
    window.close()


def opened(page: Page, url: str) -> float:
    """Seconds until the first pair is there."""
    start = time.perf_counter()
    page.goto(url, wait_until="commit")
    page.wait_for_selector("#dock[data-ready]", state="attached", timeout=300_000)
    page.evaluate(
        "() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"
    )
    return time.perf_counter() - start


def answer(page: Page, number: int) -> None:
    """Look at a pair, and press a key; wait until it is saved and the next ones are here."""
    for _ in range(number):
        page.wait_for_timeout(LOOK * 1000)
        page.keyboard.press("2")
        page.wait_for_function("() => document.getElementById('saved').textContent === 'saved ✓'")


def timed(browser: Browser, url: str, kind: str, size: int, keys: int) -> dict[str, object]:
    """How soon texts of one kind and size are there."""
    make = KINDS[kind]
    pairs = [("Which?", make(size, 2 * n), make(size, 2 * n + 1)) for n in range(keys + CARDS)]
    project, person = a_queue(pairs)
    with signed_in(browser, url, person) as window:
        page = window.new_page()
        open_s = opened(page, url + reverse("labeling:label", args=[project.pk]))
        page.evaluate(WATCH)
        answer(page, keys)
        times = sorted(page.evaluate("times"))
    return {
        "kind": kind,
        "size": size,
        "open_s": round(open_s, 2),
        "next_ms_p50": round(statistics.median(times), 1),
        "next_ms_p95": round(times[min(len(times) - 1, int(0.95 * len(times)))], 1),
        "n": len(times),
    }


def real_pairs(trees: Path, number: int) -> list[tuple[str, str, str]]:
    """Prompts with two of their answers each."""
    asked = [json.loads(line)["prompt"] for line in trees.read_text().splitlines()]
    found = [
        (each["text"], one["text"], other["text"])
        for each in asked
        for one, other in combinations(each["replies"], 2)
    ]
    return found[:: max(1, len(found) // number)][:number]


def bytes_of(browser: Browser, url: str, trees: Path, keys: int) -> dict[str, object]:
    """What answering real pairs costs on the wire."""
    project, person = a_queue(real_pairs(trees, keys + CARDS))
    with signed_in(browser, url, person) as window:
        page = window.new_page()
        opened(page, url + reverse("labeling:label", args=[project.pk]))
        wire = window.new_cdp_session(page)
        wire.send("Network.enable")
        sizes: list[int] = []
        wire.on("Network.loadingFinished", lambda event: sizes.append(event["encodedDataLength"]))
        answer(page, keys)
    tasks = Task.objects.filter(project=project).order_by("priority", "key")[CARDS : CARDS + keys]
    floors = [len(gzip.compress(text_of(task).encode())) for task in tasks]
    whole = [len(text_of(task).encode()) for task in tasks]
    return {
        "bytes_per_decision": round(sum(sizes) / keys),
        "texts_bytes": round(statistics.mean(whole)),
        "texts_compressed": round(statistics.mean(floors)),
        "vs_texts_compressed": ratio_of_medians(sizes[:keys], floors[: len(sizes[:keys])]),
        "answers": len(sizes),
    }


def text_of(task: Task) -> str:
    """All that a card of it has to tell."""
    answers = task.completions
    return "\n".join([task.prompt.text, *(answer.text for answer in answers)])


def within(rows: list[dict[str, object]], real: dict[str, object] | None) -> bool:
    """Whether every figure keeps its limit."""
    soon = all(
        row["open_s"] <= LIMITS["open_s"] and row["next_ms_p95"] <= LIMITS["next_ms"]
        for row in rows
    )
    lean = real is None or real["bytes_per_decision"] <= LIMITS["bytes_per_decision"]
    return soon and lean


def main() -> int:
    """Parse, measure, print the figures; 0 when all keep their limits."""
    parser = ArgumentParser(parents=[ground.database_option()], description=__doc__)
    parser.add_argument("--keys", type=int, default=20, help="pressed for each kind and size")
    parser.add_argument(
        "--trees", type=Path, default=Path("../shared/data/oasst_en_100_tree.jsonl")
    )
    options = parser.parse_args()
    with (
        Stack(Path(settings.VAR), settings.BROKER_SOCKET) as stack,
        sync_playwright() as playwright,
    ):
        url = stack.web().url
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        rows = [timed(browser, url, kind, size, options.keys) for kind in KINDS for size in SIZES]
        real = None
        if options.trees.is_file():
            real = bytes_of(browser, url, options.trees, 2 * options.keys)
        browser.close()
    given = {"database": options.database, "limits": LIMITS}
    print(json.dumps(given | {"cards": rows, "oasst": real or "no file of trees"}))
    return 0 if within(rows, real) else 1


if __name__ == "__main__":
    sys.exit(main())
