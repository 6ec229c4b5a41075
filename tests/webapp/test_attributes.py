"""What a template asks of a tag so that it decides nothing inside an attribute."""

import pytest
from django import forms
from django.http import QueryDict
from django.template import Context, Template
from django.template.loader import render_to_string

from webapp.projects.templatetags.navigation import PARTS, opens
from webapp.results import charts
from webapp.runs.models import Run, State, Worker
from webapp.site.fields import Topic
from webapp.site.templatetags import attributes


def drawn(text, **context):
    return Template("{% load attributes display %}" + text).render(Context(context))


@pytest.mark.parametrize(
    ("over", "shown"),
    [(True, ""), (False, ' hx-get="/a?b" hx-trigger="every 2s" hx-swap="outerHTML"')],
)
def test_an_element_asks_for_itself_until_it_is_over(over, shown):
    assert drawn('{% refresh "/a?b" "every 2s" until=over %}', over=over) == shown


def test_what_is_shown_is_marked_as_current():
    assert drawn('{% here_is "a" "a" %}{% here_is "a" "b" %}') == ' aria-current="page"'
    assert drawn('{% here_is one one "true" %}', one=7) == ' aria-current="true"'


class Form(forms.Form):
    always = forms.CharField()
    sometimes = forms.CharField(help_text="Read the help.")


def test_a_field_says_for_which_choices_it_is_there_and_where_its_help_stands():
    form = Form()
    form.fields["always"].when, form.fields["sometimes"].when = "{}", '{"judge": ["none"]}'
    text = '{% attribute "data-when" field|asked_when %}{% attribute "aria-describedby" field|help_id %}'
    assert drawn(text, field=form["always"]) == ""
    said = ' data-when="{&quot;judge&quot;: [&quot;none&quot;]}" aria-describedby="id_sometimes_helptext"'
    assert drawn(text, field=form["sometimes"]) == said


def test_an_option_that_is_chosen_says_so():
    text = "{% with chosen=a|same:b %}{% attributes selected=chosen %}{% endwith %}"
    assert (drawn(text, a=1, b=1), drawn(text, a=1, b=2)) == (" selected", "")


def test_choices_are_drawn_with_the_one_that_is_made():
    text = "{% options choices chosen %}"
    said = drawn(text, choices=[("a", "A & <b>"), ("b", "B")], chosen="b")
    assert (
        said == '<option value="a">A &amp; &lt;b&gt;</option><option value="b" selected>B</option>'
    )


def test_rows_of_numbers_are_drawn_with_a_dash_where_there_is_none():
    rows = [(1, [0.123456, None]), (20, [1234.5, float("nan")])]
    said = drawn("{{ rows|rows_of_numbers:2 }}", rows=rows)
    cells = [["1", "0.12", "—"], ["20", "1,234", "nan"]]
    shown = ["".join(f'<td class="num">{cell}</td>' for cell in row) for row in cells]
    assert said == "".join(f"<tr>{row}</tr>" for row in shown)


def test_kept_words_are_shown_and_nothing_is_nothing():
    assert (
        drawn("{{ words|translated }}|{{ nothing|translated }}", words="Beta", nothing=None)
        == "Beta|"
    )


@pytest.mark.parametrize(
    ("page", "title"),
    [
        ("project", "Home"), ("labeling:label", "Label"), ("labeling:tasks", "Data"), ("labeling:labels", "Data"),
        ("datasets:import", "Data"), ("jobs:detail", "Data"), ("rounds:compare", "Rounds"), ("registry:add", "Models"),
        ("runs:start", "Runs"), ("members", "Members"),
    ],
)  # fmt: skip
def test_a_page_belongs_to_one_part_of_its_project(page, title):
    assert [part.title for part in PARTS if opens(part, page)] == [title]


@pytest.mark.parametrize("page", ["guidelines", "labeling:keys", "reset"])
def test_other_pages_belong_to_none(page):
    assert not any(opens(part, page) for part in PARTS)


def test_a_worker_says_what_its_machine_has():
    assert Worker(hardware={}).machine == "? cores"
    assert (
        Worker(hardware={"cores": 8, "memory_gib": 31.26, "gpus": [{"name": "A100"}]}).machine
        == "8 cores, 31.3 GiB, A100"
    )


@pytest.mark.parametrize(
    ("state", "kind"),
    [(State.FAILED, "error"), (State.SUCCEEDED, "success"), (State.QUEUED, "warning")],
)
def test_a_message_is_shown_as_what_its_run_is(state, kind):
    assert Run(state=state).message_kind == kind


def test_a_table_of_a_curve_names_its_curves_and_knows_when_it_is_empty():
    empty = charts.Table(["kl/reference", "reward/mean"], ["KL", "Reward"], [])
    assert empty.query == "key=kl/reference&key=reward/mean"
    assert empty.is_empty
    assert not empty._replace(rows=[(1, [0.5, None])]).is_empty


class Unfolded(forms.Form):
    beta = forms.FloatField()


@pytest.mark.parametrize(("opened", "shown"), [(("Objective",), True), ((), False)])
def test_topics_that_are_named_are_unfolded(opened, shown):
    topic = Topic("Objective", list(Unfolded()), [])
    page = render_to_string("runs/topics.html", {"form": {"topics": [topic]}, "open": opened})
    assert ('<details class="fold" open>' in page) is shown


def test_a_topic_with_something_to_mend_is_unfolded():
    topic = Topic("Objective", list(Unfolded({})), [])
    page = render_to_string("runs/topics.html", {"form": {"topics": [topic]}, "open": ()})
    assert '<details class="fold" open>' in page


def test_pairs_of_a_query_are_its_own_whatever_they_are_called():
    query = QueryDict("items=1&page=2&keys=3")
    assert attributes.pairs(query) == [("items", "1"), ("page", "2"), ("keys", "3")]
