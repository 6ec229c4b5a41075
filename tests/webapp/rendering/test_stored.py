"""A text is rendered once, looked up with all others of its page, and never breaks one."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from tests.factories import a_user, some_labels, some_tasks
from webapp.accounts.roles import Role
from webapp.rendering import services
from webapp.rendering.models import VERSION, Rendering
from webapp.rendering.services import digest, rendered

HTMX = {"HX-Request": "true"}
SENTINEL = "<p>kept</p>"


@pytest.fixture(autouse=True)
def no_text_is_short(monkeypatch):
    monkeypatch.setattr(services, "FEW", -1)


@pytest.fixture
def ana(project, client):
    person = a_user(project, Role.ANNOTATOR, username="ana")
    client.force_login(person)
    return person


def test_a_text_is_rendered_once(db):
    first = rendered(["*a*", "b", ""])
    assert Rendering.objects.count() == 2
    Rendering.objects.update(html=SENTINEL)
    again = rendered(["*a*", "b"])
    assert first["*a*"].html == '<p dir="auto"><em>a</em></p>'
    assert {each.html for each in again.values()} == {SENTINEL}


def test_a_few_short_texts_need_no_look_up(db, monkeypatch, django_assert_num_queries):
    monkeypatch.setattr(services, "FEW", 6)
    with django_assert_num_queries(0):
        assert rendered(["*a*", "*b*", "*a*"])["*a*"].html == '<p dir="auto"><em>a</em></p>'
    rendered(["*a*", "*bb*"])
    assert Rendering.objects.count() == 2


def test_a_newer_renderer_replaces_what_an_older_one_made(db):
    rendered(["*a*"])
    Rendering.objects.update(html=SENTINEL, version=VERSION - 1)
    assert rendered(["*a*"])["*a*"].html != SENTINEL
    assert Rendering.objects.get(digest=digest("*a*")).version == VERSION


def test_any_number_of_texts_is_one_look_up(db, django_assert_num_queries):
    texts = [f"text {number}" for number in range(300)]
    rendered(texts)
    with django_assert_num_queries(1):
        rendered(texts)
    with django_assert_num_queries(0):
        rendered([])


def test_a_page_of_many_long_new_texts_renders_some_and_says_so(db, monkeypatch):
    monkeypatch.setattr(services, "AT_ONCE", 25)
    texts = ["*a* " + "x" * 8, "*b* " + "x" * 8, "*c* " + "x" * 8]
    first = rendered(texts)
    assert [bool(first[text].html) for text in texts] == [True, True, False]
    assert "open it again" in first[texts[2]].why
    assert rendered(texts)[texts[2]].html
    assert rendered(["y" * 99])["y" * 99].html


def test_two_pages_that_render_the_same_text_at_once_store_one(db, monkeypatch):
    monkeypatch.setattr(services, "_stored", lambda digests: {})  # neither saw the other's
    rendered(["a"])
    rendered(["a"])
    assert Rendering.objects.count() == 1


@pytest.mark.sqlite
def test_a_database_that_takes_nothing_breaks_no_text(db, caplog):
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA query_only = ON")
        try:
            assert rendered(["*a*"])["*a*"].html
        finally:
            cursor.execute("PRAGMA query_only = OFF")
    assert "could not be stored" in caplog.text
    assert not Rendering.objects.exists()


def queries_of(client, url, **headers):
    client.get(url, headers=headers)  # renders what is new
    with CaptureQueriesContext(
        connection,
    ) as caught:
        assert client.get(url, headers=headers).status_code == 200
    return [each["sql"] for each in caught if "rendering_rendering" in each["sql"]]


def test_the_label_page_looks_all_its_texts_up_together(project, ana, client):
    some_tasks(project, 4)
    assert len(queries_of(client, reverse("labeling:label", args=[project.pk]))) == 1
    assert len(queries_of(client, reverse("labeling:label", args=[project.pk]), **HTMX)) == 1


def test_the_table_of_labels_looks_all_its_texts_up_together(project, researcher, client):
    some_labels(some_tasks(project, 5))
    client.force_login(researcher)
    assert len(queries_of(client, reverse("labeling:labels", args=[project.pk]))) == 1


def test_a_person_keeps_the_view_they_prefer(project, ana, client):
    some_tasks(project, 1, texts=("*a*", "*b*"))
    page, to = reverse("labeling:label", args=[project.pk]), reverse("accounts:raw_view")
    assert 'class="card task as-written"' not in client.get(page).content.decode()
    assert client.post(to, {"raw": "1"}).status_code == 204
    assert 'class="card task as-written"' in client.get(page).content.decode()
    client.post(to, {"raw": ""})
    assert 'class="card task as-written"' not in client.get(page).content.decode()


def test_both_views_are_in_the_page(project, ana, client):
    some_tasks(project, 1, texts=("**bold**", "[1]: https://e.org"))
    page = client.get(reverse("labeling:label", args=[project.pk])).content.decode()
    assert "<strong>bold</strong>" in page
    assert "<pre dir=auto>\n**bold**</pre>" in page


def test_two_answers_that_look_alike_but_differ_are_shown_as_written(project, ana, client):
    some_tasks(project, 1, texts=("* a", "- a"))
    page = client.get(reverse("labeling:label", args=[project.pk])).content.decode()
    assert "data-alike" in page
    assert "look alike but differ" in page


@pytest.mark.parametrize(
    ("text", "said"), [("*", "Shown as written: nothing of it can be seen"), ("\u200b", "U+200B")]
)
def test_what_would_not_be_seen_is_said(project, ana, client, text, said):
    some_tasks(project, 1, texts=(text, "b"))
    assert said in client.get(reverse("labeling:label", args=[project.pk])).content.decode()


def test_an_empty_answer_is_said_to_be_empty(project, ana, client):
    (task,) = some_tasks(project, 1)
    type(task.completions[0]).objects.filter(pk=task.completions[0].pk).update(text="")
    assert "(empty)" in client.get(reverse("labeling:label", args=[project.pk])).content.decode()
