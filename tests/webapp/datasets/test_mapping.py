"""Columns by what somebody says they are: on the page, by command, and in the words of what is refused."""

import io
import json

import pytest
from django.core.management import CommandError, call_command
from django.urls import reverse
from pytest_django.asserts import assertContains, assertRedirects

from alignment.rows.found import Preferred, Thumbed
from alignment.rows.json_lines import Row
from alignment.rows.mapping import ROLES, guessed, mapped, role_of, twice
from webapp.datasets import intake
from webapp.datasets.imports.parts import take_in
from webapp.datasets.imports.reading import OTHER_COLUMNS, read_rows
from webapp.datasets.intake import Become, Plan
from webapp.jobs.models import Job
from webapp.jobs.tasks import work
from webapp.labeling.models import Completion

TABLE = "frage;a1;a2;wer;besser\nWhy?;Because.;No.;ada;a2\nHow?;So.;;bo;a1\n"
GIVEN = {"frage": "prompt", "a1": "answer", "a2": "answer", "wer": "annotator", "besser": "winner"}


def held(row, **roles):
    return read_rows([Row("line 1", row)], roles=roles)


def prompt_of(row, **roles):
    reading = held(row, **roles)
    assert reading.refusals == []
    (prompt,) = reading.prompts.values()
    return prompt, reading


@pytest.mark.parametrize(
    ("column", "role"),
    [
        ("Question", "prompt"),
        ("response_1", "answer"),
        ("Completion", "answer"),
        ("judge", "annotator"),
        ("chosen", "chosen"),
        ("topic", ""),
    ],
)
def test_a_column_seems_to_be_what_its_name_says(column, role):
    assert role_of(column) == role
    assert role in {"", *ROLES}


def test_only_the_first_column_is_guessed_to_be_what_only_one_may_be():
    assert guessed(["prompt", "question", "answer_a", "answer_b"]) == {
        "prompt": "prompt",
        "question": "",
        "answer_a": "answer",
        "answer_b": "answer",
    }
    assert (twice({"a": "prompt", "b": "prompt"}), twice(GIVEN)) == ("prompt", "")


def test_a_team_s_own_columns_are_read_by_their_roles():
    row = {"frage": "Why?", "a1": "x", "a2": "y", "wer": "ada", "besser": "a2", "topic": "sky"}
    prompt, reading = prompt_of(row, **GIVEN)
    (label,) = prompt.labels
    assert (label.annotator, label.said) == ("ada", Preferred(1))
    assert [prompt.answers[key].text for key in label.items] == ["x", "y"]
    assert reading.unused == {"topic": 1}
    assert reading.columns == row


def test_only_columns_of_which_something_was_said_are_read():
    prompt, reading = prompt_of(
        {"prompt": "Not this.", "q": "Why?", "answer": "Nor this."}, q="prompt"
    )
    assert ([turn.content for turn in prompt.messages], prompt.answers) == (["Why?"], {})
    assert set(reading.unused) == {"prompt", "answer"}


def test_a_context_is_what_the_prompt_is_about_or_the_turns_before_it():
    prompt, _ = prompt_of({"q": "Why?", "c": "The sky."}, q="prompt", c="context")
    assert prompt.messages[-1].content == "Why?\n\nThe sky."
    before = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello."}]
    prompt, _ = prompt_of({"q": "Why?", "c": before}, q="prompt", c="context")
    assert [turn.content for turn in prompt.messages] == ["Hi", "Hello.", "Why?"]


def test_ranks_stand_beside_their_answers_or_in_rows_of_their_own():
    row = {"q": "Why?", "x": "a", "y": "b", "rx": 2, "ry": 1}
    prompt, _ = prompt_of(row, q="prompt", x="answer", y="answer", rx="rank", ry="rank")
    assert [prompt.answers[pair.better].text for pair in prompt.pairs] == ["b"]
    rows = [
        Row("1", {"q": "Why?", "a": text, "r": rank}) for text, rank in (("x", "2"), ("y", "1"))
    ]
    (prompt,) = read_rows(rows, roles={"q": "prompt", "a": "answer", "r": "rank"}).prompts.values()
    assert (prompt.ranked(), [one.rank for one in prompt.answers.values()]) == (1, [2, 1])


def test_labels_splits_names_and_tags_have_their_roles():
    row = {"q": "Why?", "a": "x", "ok": "true", "s": "dev", "n": "r1", "t": ["sky", "blue"]}
    roles = {"q": "prompt", "a": "answer", "ok": "label", "s": "split", "n": "id", "t": "tags"}
    prompt, _ = prompt_of(row, **roles)
    (answer,) = prompt.answers.values()
    assert ([label.said for label in prompt.labels], prompt.split) == (
        [Thumbed(good=True)],
        "validation",
    )
    assert answer.about == {"id": "r1", "tags": "sky, blue"}


@pytest.mark.django_db
def test_columns_for_code_stay_with_their_prompts(project):
    roles = {"q": "prompt", "a": "code", "t": "code"}

    def taken(*rows):
        reading = read_rows([Row("line", row) for row in rows], roles=roles)
        assert not reading.unused
        return reading, take_in(project, reading, Plan(Become.PROMPTS))

    taken({"q": "How?"})
    reading, _added = taken(
        {"q": "Why?", "a": 4, "t": ["\ud800"]}, {"q": "Why?", "a": 5}, {"q": "How?", "a": 1}
    )
    assert reading.left_out[OTHER_COLUMNS] == 1
    _reading, added = taken({"q": "Why?", "a": 6}, {"q": "How?", "a": 1})
    assert added.left_out[intake.OTHER_COLUMNS] == 1
    kept = {prompt.text: json.loads(prompt.columns) for prompt in project.prompts.all()}
    assert kept == {"Why?": {"a": 4, "t": ["\ud800"]}, "How?": {"a": 1}}
    assert project.prompts.first().record().columns


BESIDE = {"q": "Why?", "a": "x"}
GIVEN_BESIDE = {"q": "prompt", "a": "answer"}
WORTH = ["", "x", "good", 0, 1, 1.5, "1.0", True, None, ["x"], [1], {"x": 1}, {"role": "user"}]


@pytest.mark.parametrize("role", [one for one in ROLES if one not in ("prompt", "chosen")])
def test_a_column_of_which_nothing_is_made_is_named_whatever_its_role(role):
    without = held(BESIDE, **GIVEN_BESIDE)
    for value in WORTH:
        reading = held(BESIDE | {"more": value}, **GIVEN_BESIDE, more=role)
        assert told(reading) != told(without) or reading.unused == {"more": 1} or not value, value


def told(reading):
    """What became of a row, but for its columns that are not used."""
    prompts = [(one, one.answers) for one in reading.prompts.values()]
    about = [[dict(one.about) for one in answers.values()] for _, answers in prompts]
    return reading.refusals, reading.left_out, reading.notes, prompts, about


@pytest.mark.parametrize("given", [1, 0, 1.0, "1", "0.0", True, "false"])
def test_a_label_may_be_a_number_where_somebody_says_that_it_is_one(given):
    prompt, reading = prompt_of(BESIDE | {"l": given}, **GIVEN_BESIDE, l="label")
    assert prompt.labels[0].said == Thumbed(str(given) in ("1", "1.0", "True"))
    assert not reading.unused


@pytest.mark.parametrize(
    ("ranks", "ratings"), [(2, 2), (2, 0), (0, 2), (1, 2), (2, 1), (1, 0), (0, 1)]
)
def test_ranks_and_ratings_are_of_each_answer_or_named(ranks, ratings):
    columns = {f"rank {n}": "rank" for n in range(ranks)}
    columns |= {f"rating {n}": "rating" for n in range(ratings)}
    row = {"q": "Why?", "a": "x", "b": "y"} | {name: int(name[-1]) for name in columns}
    prompt, reading = prompt_of(row, q="prompt", a="answer", b="answer", **columns)
    assert len(prompt.pairs) == (ranks == 2)
    about = [dict(answer.about) for answer in prompt.answers.values()]
    assert about == ([{"rating": 0}, {"rating": 1}] if ratings == 2 else [{}, {}])
    alone = [role for role, number in (("rank", ranks), ("rating", ratings)) if number == 1]
    assert set(reading.unused) == {f"{role} 0" for role in alone}


@pytest.mark.parametrize("missing", ["a1", "a2", "a3"])
def test_a_winner_is_the_answer_of_its_column_whichever_others_are_missing(missing):
    roles = {"q": "prompt", "a1": "answer", "a2": "answer", "a3": "answer", "w": "winner"}
    row = {"q": "Why?", "a1": "one", "a2": "two", "a3": "three"}
    worse, better = (name for name in ("a1", "a2", "a3") if name != missing)
    prompt, _reading = prompt_of(row | {missing: None, "w": better}, **roles)
    (pair,) = prompt.pairs
    texts = [prompt.answers[key].text for key in (pair.better, pair.worse)]
    assert texts == [row[better], row[worse]]
    (refusal,) = held(row | {missing: None, better: 7}, **roles).refusals
    assert refusal == f"line 1: {better} is not text"


def test_what_is_refused_is_called_as_in_the_file():
    roles = {"frage": "prompt", "a1": "answer", "a2": "answer"}
    (refusal,) = held({"frage": "Why?", "a1": "x", "a2": 7}, **roles).refusals
    assert refusal == "line 1: a2 is not text"
    (refusal,) = held({"frage": "Why?", "w": 5}, frage="prompt", w="chosen").refusals or [""]
    assert "answer_" not in refusal


def test_other_rows_are_as_they_are():
    assert mapped("Why?", {"q": "prompt"}) == "Why?"


@pytest.fixture
def looked(as_admin, project, jsonl):
    """A file that was looked at on the page."""
    content = jsonl(TABLE.encode(), name="table.csv")
    as_admin.post(
        reverse("datasets:import", args=[project.pk]), {"file": content, "format": "guess"}
    )
    job = Job.objects.get()
    work(job.pk)
    job.refresh_from_db()
    return job


def page_of(job):
    return reverse("jobs:detail", args=[job.project_id, job.pk])


def look_again(client, job, roles):
    """Say what the columns are; where that leads."""
    columns = [column for column, _value, _role in job.result["columns"]]
    sent = {f"column-{columns.index(name)}": role for name, role in roles.items()}
    return client.post(
        reverse("datasets:confirm", args=[job.project_id, job.pk]), sent | {"look": "on"}
    )


def test_a_table_of_unknown_columns_is_read_once_somebody_says_what_they_are(
    as_admin, looked, project
):
    assert (looked.result["rows"], looked.result["refused"]) == (0, 2)
    assert [column for column, _value, _role in looked.result["columns"]] == [*GIVEN]
    assertContains(as_admin.get(page_of(looked)), "What the columns are")
    response = look_again(as_admin, looked, GIVEN)
    again = Job.objects.exclude(pk=looked.pk).get()
    assertRedirects(response, page_of(again))
    assertRedirects(look_again(as_admin, looked, GIVEN), page_of(again))  # the same job
    work(again.pk)
    again.refresh_from_db()
    assert (again.result["rows"], again.result["judged"], again.result["annotators"]) == (2, 1, 1)
    assertContains(as_admin.get(page_of(again)), '<option value="winner" selected>')
    as_admin.post(reverse("datasets:confirm", args=[project.pk, again.pk]), {"become": "answers"})
    work(Job.objects.get(kind="import").pk)
    assert sorted(Completion.objects.values_list("text", flat=True)) == ["Because.", "No.", "So."]


@pytest.mark.once
def test_two_prompts_of_a_row_are_refused_in_words(as_admin, looked):
    response = look_again(as_admin, looked, {"frage": "prompt", "a1": "prompt"})
    assertRedirects(response, page_of(looked), fetch_redirect_response=False)
    assertContains(as_admin.get(page_of(looked)), "Only one column may be “Prompt”.")


@pytest.mark.once
def test_the_command_takes_roles(project, tmp_path):
    path = tmp_path / "table.csv"
    path.write_text(TABLE, encoding="utf-8")
    roles = [f"--map={role}={column}" for column, role in GIVEN.items()]
    out = io.StringIO()
    call_command("import_feedback", project.name, str(path), *roles, stdout=out)
    assert "2 prompts and 3 answers added" in out.getvalue()
    assert project.labels.get().annotator.first_name == "ada"


@pytest.mark.once
@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("--map=prompts=frage", "give one of prompt"),
        ("--map=prompt", "give one of"),
        ("--map=prompt=a1", "prompt is given twice"),
    ],
)
def test_the_command_refuses_other_roles(project, tmp_path, given, words):
    path = tmp_path / "table.csv"
    path.write_text(TABLE, encoding="utf-8")
    with pytest.raises(CommandError, match=words):
        call_command("import_feedback", project.name, str(path), "--map=prompt=frage", given)
