"""In another language everything that a person reads on a page is in it: a made-up one, whose words are bracketed."""

import re
from collections.abc import Callable, Iterator
from html.parser import HTMLParser

import pytest
from django import forms
from django.urls import reverse
from django.utils import translation
from pydantic import ValidationError

from alignment.kinds.reward.settings import RewardConfig
from tests.webapp.addresses import a_world, addresses, client_with, session_of
from webapp.accounts.models import User
from webapp.launch.offers import offered
from webapp.projects.models import Project
from webapp.site.fields import add_errors

pytestmark = pytest.mark.once

READ = ("title", "placeholder", "aria-label", "alt", "data-confirm", "hx-confirm", "data-axis")
# What is the same in any language: code, names that people gave, hashes, and the units of SI.
CODE = ("script", "style", "code", "kbd", "pre")
SAME = {
    "Attune",
    "English",
    "CSV",
    "SHA-256",
    "n",
    "B",
    "kB",
    "MB",
    "GB",
    "GiB",
    "β",
    "lr",
    "UTC",
    "attune",
}
WORD = re.compile(r"[A-Za-z][\w'-]*")
SENTENCE = re.compile(r"(?:\b[A-Za-z][a-z'-]*[ ,]+){3,}[a-z]+")  # four words in a row
HASH = re.compile(r"\b[0-9a-f]{12,}\b")


PAGES = [
    "home", "project", "prompts", "runs:list", "runs:detail", "runs:choose", "runs:start", "rounds:list", "rounds:detail",
    "rounds:launch", "rounds:compare", "registry:models", "registry:model", "registry:add", "registry:code", "members",
    "datasets:snapshots", "datasets:import", "datasets:export", "datasets:corpora", "datasets:texts", "new_project", "guidelines",
]  # fmt: skip


def bracketed(text: str) -> str:
    """The text in a language that nobody speaks; nothing stays nothing."""
    return f"⟦{text}⟧" if text.strip() else text


@pytest.fixture
def made_up_language(monkeypatch):
    """What every translator of Django says from now on."""
    translators: dict[str, Callable[..., str]] = {
        "gettext": bracketed,
        "pgettext": lambda _context, text: bracketed(text),
        "ngettext": lambda one, many, n: bracketed(one if n == 1 else many),
        "npgettext": lambda _context, one, many, n: bracketed(one if n == 1 else many),
        "get_language": lambda: "made-up",  # what was drawn in another is not shown in it
    }
    for name, translator in translators.items():
        monkeypatch.setattr(translation._trans, name, translator)
    yield
    translation.deactivate()  # behind each answer a page goes back to the language from before it


class Page(HTMLParser):
    """Collects what of a page is not in brackets; a sentence may hold elements."""

    def __init__(self) -> None:
        super().__init__()
        self.inside: list[str] = []
        self.depth = 0
        self.plain: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name in READ:
                self.plain.append(re.sub(r"⟦.*⟧", "", value or "", flags=re.DOTALL))
        if tag in CODE:
            self.inside.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag in self.inside:
            self.inside.remove(tag)

    def handle_data(self, data: str) -> None:
        for letter in data if not self.inside else "":
            self.depth += {"⟦": 1, "⟧": -1}.get(letter, 0)
            if self.depth == 0:
                self.plain.append(letter)


def plain_words(html: str, names: set[str]) -> Iterator[str]:
    """The words of a page that no translator was asked for."""
    page = Page()
    page.feed(html)
    text = HASH.sub(" ", "".join(page.plain))  # before names: one may be a part of a hash
    for name in sorted((HASH.sub(" ", name) for name in names), key=len, reverse=True):
        text = text.replace(name, " ")
    return (word for word in WORD.findall(text) if word not in SAME)


def given_names(project: Project) -> set[str]:
    """What people and programs called things, which nobody translates."""
    rows = project.artifacts.values_list("name", flat=True)
    people = User.objects.values_list("username", flat=True)
    runs = {
        part for name in project.runs.values_list("name", flat=True) for part in name.split(" · ")
    }
    texts = {prompt.text for prompt in project.prompts.all()}
    files = {job.payload["name"] for job in project.jobs.filter(payload__has_key="name")}
    return {project.name, *rows, *people, *runs, *texts, *files}


@pytest.fixture
def world(db, var):
    return a_world(var)


@pytest.fixture
def admin(world):
    return client_with(session_of(User.objects.create_superuser("root", password="long enough")))


@pytest.mark.slow
def test_every_word_of_a_page_is_translated(world, admin, made_up_language):
    names, paths = (
        given_names(world.project),
        {one.name: world.path(one) for one in addresses() if one.name in PAGES},
    )
    assert sorted(paths) == sorted(PAGES)
    paths |= {f"start {kind}": f"{paths['runs:start']}?kind={kind}" for kind in offered()}
    plain = {
        name: list(plain_words(admin.get(path).content.decode(), names))
        for name, path in paths.items()
    }
    assert {name: words for name, words in plain.items() if words} == {}


FEW = ("project", "prompts", "runs:choose", "runs:list")  # of a project, looked at in `make test`


@pytest.fixture
def pages(client, project, researcher):
    """What somebody reads of a project in which nothing has happened yet, and the names there."""
    client.force_login(researcher)
    paths = [reverse("home"), *(reverse(name, args=[project.pk]) for name in FEW)]
    names = given_names(project)
    return lambda: [(names, client.get(path, follow=True).content.decode()) for path in paths]


def test_every_word_of_a_page_of_a_new_project_is_translated(pages, made_up_language):
    plain = [list(plain_words(page, names)) for names, page in pages()]
    assert plain == [[]] * (1 + len(FEW))


def test_pages_of_a_new_project_in_chinese_hold_no_english_sentence(pages, researcher):
    User.objects.filter(pk=researcher.pk).update(language="zh-hans")
    shown = pages()
    assert all('<html lang="zh-hans"' in page for _names, page in shown)
    assert [english(page, names) for names, page in shown] == [[]] * (1 + len(FEW))


def english(html: str, names: set[str]) -> list[str]:
    """Runs of English words that a page shows."""
    page = Page()
    page.feed(html)
    text = "".join(page.plain)
    for name in sorted(names, key=len, reverse=True):
        text = text.replace(name, " ")
    return SENTENCE.findall(text)


@pytest.mark.slow
def test_pages_in_chinese_hold_no_english_sentence(world, admin):
    User.objects.filter(username="root").update(language="zh-hans")
    names = given_names(world.project)
    paths = {one.name: world.path(one) for one in addresses() if one.name in PAGES}
    paths |= {f"start {kind}": f"{paths['runs:start']}?kind={kind}" for kind in offered()}
    pages = {name: admin.get(path, follow=True).content.decode() for name, path in paths.items()}
    assert [name for name, page in pages.items() if '<html lang="zh-hans"' not in page] == []
    found = {name: english(page, names) for name, page in pages.items()}
    assert {name: texts for name, texts in found.items() if texts} == {}


def test_what_settings_refuse_is_said_once_in_the_readers_language(made_up_language):
    with pytest.raises(ValidationError) as refused:
        RewardConfig(folds=1)
    form = forms.Form({})
    add_errors(form, refused.value)
    (said,) = form.non_field_errors()
    assert re.fullmatch(r"⟦[^⟦⟧]+⟧\.", said)
