"""Files that people bring: looked at first, refused by line, taken in as a whole."""

import gzip
import io
import json

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.files.uploadhandler import (
    MemoryFileUploadHandler,
    TemporaryFileUploadHandler,
)
from django.urls import reverse
from hypothesis import strategies as st
from pytest_django.asserts import assertContains, assertNotContains, assertRedirects

from alignment.rows.formats import FORMATS, GUESS
from alignment.rows.json_lines import LONGEST_LINE, lines_of, rows_of
from tests.factories import a_project, a_prompt, a_user
from tests.webapp.datasets.drawn import drawn, look_at_each
from webapp.accounts.roles import Role
from webapp.datasets.errors import ImportRefusal
from webapp.datasets.imports.reading import read_rows
from webapp.datasets.imports.streams import Bounded
from webapp.jobs.models import Job, State
from webapp.jobs.services import start_job
from webapp.jobs.tasks import work
from webapp.labeling.models import Completion
from webapp.machine.bodies import CUT
from webapp.projects.models import Prompt

pytestmark = pytest.mark.once


def tree(name="t1", text="How do magnets work?", answers=("It is physics.", "Two poles.")):
    """An Open-Assistant tree whose answers are ranked in their order."""
    replies = [
        {"message_id": f"{name}-{rank}", "role": "assistant", "text": answer, "rank": rank}
        for rank, answer in enumerate(answers)
    ]
    prompt = {"role": "prompter", "text": text, "replies": replies}
    return json.dumps({"message_tree_id": name, "prompt": prompt})


@pytest.fixture
def url(project):
    return reverse("datasets:import", args=[project.pk])


@pytest.fixture
def looked_at(as_admin, url):
    """Choose a file on the page and let the worker look at it; the job."""

    def look(file, format="guess"):
        response = as_admin.post(url, {"file": file, "format": format})
        job = Job.objects.get(kind="preview")
        assertRedirects(response, page_of(job))
        work(job.pk)
        return Job.objects.get(pk=job.pk)

    return look


def page_of(job):
    return reverse("jobs:detail", args=[job.project_id, job.pk])


def taken_in(client, preview, become="preferences", **options):
    chosen = {"become": become} | options
    client.post(reverse("datasets:confirm", args=[preview.project_id, preview.pk]), chosen)
    job = Job.objects.get(kind="import")
    work(job.pk)
    return Job.objects.get(pk=job.pk)


def test_a_file_is_looked_at_before_anything_is_taken_in(as_admin, looked_at, jsonl, project):
    a_prompt(project, "Why?")
    seen = looked_at(jsonl(tree(), tree("t2", "Why?", ()), name="trees.jsonl")).result
    assert (seen["format"], seen["rows"], seen["new"], seen["answers"]) == ("oasst", 2, 1, 2)
    assert project.prompts.count() == 1
    assertContains(as_admin.get(page_of(Job.objects.get())), "trees.jsonl")


def test_the_first_rows_are_shown_and_cannot_run(as_admin, looked_at, jsonl):
    job = looked_at(jsonl(tree(text="**Why** <script>alert(1)</script>?")))
    response = as_admin.get(page_of(job))
    assertContains(response, "<strong>Why</strong>")
    assertContains(response, "It is physics.")
    assertNotContains(response, "<script>alert")


@pytest.mark.twice
def test_a_confirmed_file_is_taken_in_once(as_admin, looked_at, jsonl, project, var):
    preview = looked_at(jsonl(tree(), '{"x": 1}', tree()), "oasst")
    assert preview.result["refused"] == 1
    Job.objects.all().delete()
    preview = looked_at(jsonl(tree(), tree()))
    job = taken_in(as_admin, preview)
    assert (job.state, job.result["prompts"], job.result["completions"]) == (State.DONE, 1, 2)
    assertContains(as_admin.get(page_of(job)), "1 prompt and 2 answers are new, of 2 rows read")
    assert Completion.objects.get(rank=0).text == "It is physics."
    as_admin.post(reverse("datasets:confirm", args=[project.pk, preview.pk]))
    assert Job.objects.filter(kind="import").count() == 1


def test_a_file_taken_in_is_not_kept(
    as_admin, looked_at, jsonl, var, django_capture_on_commit_callbacks
):
    with django_capture_on_commit_callbacks(execute=True):
        taken_in(as_admin, looked_at(jsonl('"Why?"')), "prompts")
    assert list((var / "store" / "uploads").iterdir()) == []


def test_bad_lines_are_named_and_keep_the_whole_file_out(as_admin, looked_at, jsonl, project):
    job = looked_at(jsonl('"Why?"', '""', "{", '"How?"'))
    assert [line.partition(" at")[0] for line in job.result["refusals"]] == [
        "line 2: a message is empty",
        "line 3: not JSON: Expecting property name enclosed in double quotes",
    ]
    assertContains(as_admin.get(page_of(job)), "line 3: not JSON")
    confirm = reverse("datasets:confirm", args=[project.pk, job.pk])
    response = as_admin.post(confirm, {"become": "prompts"}, follow=True)
    assertContains(response, "mend them, or leave them out")
    assert not Prompt.objects.exists()


def test_bad_rows_are_left_out_where_somebody_chose_so(as_admin, looked_at, jsonl, project):
    job = looked_at(jsonl('"Why?"', '""', "{", '"How?"', *["["] * 60))
    assertContains(as_admin.get(page_of(job)), "Leave 62 bad rows out")
    taken = taken_in(as_admin, job, "prompts", leave_out="on")
    assert (taken.result["prompts"], taken.result["refused"]) == (2, 62)
    response = as_admin.get(reverse("jobs:download", args=[project.pk, taken.pk]))
    lines = b"".join(response.streaming_content).decode().splitlines()
    assert response["Content-Type"] == "text/plain"
    assert (len(lines), lines[0]) == (62, "line 2: a message is empty")


def test_a_file_of_bad_rows_only_cannot_be_taken_in(as_admin, looked_at, jsonl, project):
    job = looked_at(jsonl("{", "["))
    assertNotContains(as_admin.get(page_of(job)), "/confirm/")
    confirm = reverse("datasets:confirm", args=[project.pk, job.pk])
    assert as_admin.post(confirm, {"become": "prompts", "leave_out": "on"}).status_code == 404


def test_an_import_refuses_bad_lines_by_itself(looked_at, jsonl, project):
    payload = looked_at(jsonl('"Why?"', "{")).payload | {"format": "prompts"}
    work(start_job(project, kind="import", payload=payload, key="unseen").pk)
    job = Job.objects.get(kind="import")
    assert job.state == State.FAILED
    assert job.message.startswith("Nothing was imported: line 2: not JSON")
    assert not Prompt.objects.exists()


def test_an_import_that_failed_may_be_asked_for_again(as_admin, looked_at, jsonl, project):
    preview = looked_at(jsonl('"Why?"'))
    confirm = reverse("datasets:confirm", args=[project.pk, preview.pk])
    imports = Job.objects.filter(kind="import")
    for number in (1, 1):
        as_admin.post(confirm, {"become": "prompts"})
        assert imports.count() == number
    imports.update(state=State.FAILED)
    as_admin.post(confirm, {"become": "prompts"})
    assert imports.count() == 2


def test_a_file_with_bad_lines_is_listed_as_refused(as_admin, looked_at, jsonl, url):
    looked_at(jsonl("{"))
    assertContains(as_admin.get(url), ">bad rows<")


@pytest.mark.twice
def test_only_the_first_bad_lines_are_listed_but_all_are_counted(as_admin, looked_at, jsonl):
    job = looked_at(jsonl(*["{"] * 70))
    assert (job.result["refused"], len(job.result["refusals"])) == (70, 50)
    assertContains(as_admin.get(page_of(job)), "first 50 of 70")


@pytest.mark.twice
@pytest.mark.parametrize(
    ("content", "rows", "refusal"),
    [
        (b'\xef\xbb\xbf"Why?"', 1, ""),  # a byte order mark
        (b'"Why?"\r\n"How?"\r\n', 2, ""),
        (b'"Why?"\n\n\n"How?"', 2, ""),
        (b'"caf\xe9?"', 0, "line 1: not UTF-8 text"),
        (b'"a\\u0000b"', 0, "line 1: a message contains a NUL character"),
        (b'"' + b"x" * LONGEST_LINE + b'"', 0, "line 1: longer than 1,000,000 bytes"),
        (b'"' + b"x" * (LONGEST_LINE - 2) + b'"', 1, ""),
        (gzip.compress(b'"Why?"', mtime=0), 1, ""),
    ],
    ids=lambda value: repr(value)[:24],
)
def test_odd_files_are_read_or_refused_by_line(looked_at, jsonl, content, rows, refusal):
    result = looked_at(jsonl(content)).result
    assert (result["rows"], result["refusals"][:1]) == (rows, [refusal] if refusal else [])


@pytest.mark.twice
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\n \n", "no rows"),
        (gzip.compress(b'"Why?"' * 100, mtime=0)[:20], "damaged or cut short"),
        (gzip.compress(b"", mtime=0)[:3], "damaged or cut short"),
        (b"\x1f\x8bnot gzip at all", "damaged or cut short"),
        ('"Why?"\n'.encode("utf-16"), "UTF-16 text"),
        (b'\x00\x00"Why?"', "not text"),
    ],
)
def test_files_that_are_none_are_refused_as_a_whole(as_admin, looked_at, jsonl, content, message):
    job = looked_at(jsonl(content))
    assert job.state == State.FAILED
    assertContains(as_admin.get(page_of(job)), message)


@pytest.mark.twice
def test_a_small_file_that_unpacks_to_a_huge_one_is_refused(looked_at, jsonl, settings):
    settings.IMPORT_LIMIT = 10_000
    assert "larger than" in looked_at(jsonl(gzip.compress(b'"Why?"\n' * 10_000, mtime=0))).message


def test_two_answers_under_one_name_are_refused_by_line(looked_at, jsonl):
    job = looked_at(jsonl(tree(), tree(answers=("Other words.",))))
    assert job.result["refusals"] == ["line 2: the reply t1-0 is in line 1 too, with other words"]


def test_a_file_that_is_too_large_is_refused_and_not_kept(as_admin, url, jsonl, settings, var):
    settings.IMPORT_LIMIT = 1_000_000
    response = as_admin.post(url, {"file": jsonl(b'"Why?"\n' * 200_000), "format": "guess"})
    assertContains(response, "The file is larger than 1 MB")
    assert not Job.objects.exists()
    assert not (var / "store" / "uploads").exists()


def test_a_file_whose_end_the_web_program_dropped_is_not_taken_for_a_whole_one(
    as_admin, url, jsonl
):
    response = as_admin.post(url, {"file": jsonl(b'"Why?"'), "format": "guess"}, **{CUT: True})
    assertContains(response, "The file is larger than")
    assert not Job.objects.exists()


def test_many_small_files_are_one_that_is_too_large(as_admin, url, jsonl, settings, monkeypatch):
    settings.IMPORT_LIMIT = 1_000_000
    kept = kept_bytes(monkeypatch)
    files = {f"file{number}": jsonl(b'"Why?"\n' * 50_000) for number in range(9)}
    as_admin.post(url, files | {"format": "guess"})
    assert 0 < sum(kept) <= 1_000_000


def test_who_is_not_signed_in_leaves_no_file(client, db, jsonl, monkeypatch):
    """The form of the login page is read before anybody asks who sent it."""
    kept = kept_bytes(monkeypatch)
    sent = {"login": "x", "password": "x", "file": jsonl(b'"Why?"\n' * 500_000)}
    assert client.post(reverse("account_login"), sent).status_code == 200
    assert not kept


def kept_bytes(monkeypatch):
    """The sizes of what was written to memory or to disk of any upload."""
    kept = []
    for handler in (MemoryFileUploadHandler, TemporaryFileUploadHandler):
        write = handler.receive_data_chunk

        def counted(self, raw_data, start, write=write):
            left = write(self, raw_data, start)
            kept.append(len(raw_data) if left is None else 0)
            return left

        monkeypatch.setattr(handler, "receive_data_chunk", counted)
    return kept


@pytest.mark.parametrize(("posted", "words"), [({}, "Choose a file first"), (b"", "is empty")])
def test_no_file_and_an_empty_file_are_refused(as_admin, url, posted, words):
    file = {"file": SimpleUploadedFile("empty.jsonl", posted)} if posted == b"" else {}
    assertContains(as_admin.post(url, file | {"format": "guess"}), words)


def test_a_name_full_of_tricks_is_only_shown(as_admin, url, jsonl, var):
    as_admin.post(url, {"file": jsonl('"Why?"', name="../../<b>etc.jsonl"), "format": "guess"})
    assert [path.parent.name for path in var.rglob("*") if path.is_file()] == ["uploads"]
    assertNotContains(as_admin.get(url), "<b>etc")


def test_only_admins_import(client, project, researcher, url, looked_at, jsonl):
    job = looked_at(jsonl('"Why?"'))
    confirm = reverse("datasets:confirm", args=[project.pk, job.pk])
    for person in (researcher, a_user(a_project(), Role.ADMIN)):
        client.force_login(person)
        for address in (url, confirm):
            assert client.post(address).status_code == 404
    assert client.get(url).status_code == 404


@pytest.mark.twice
def test_files_come_in_pages_at_a_constant_cost(
    as_admin, url, project, admin, django_assert_max_num_queries
):
    for number in range(51):
        payload = {"name": f"f{number}"}
        start_job(project, kind="preview", payload=payload, key=f"k{number}", by=admin)
    with django_assert_max_num_queries(12):
        assert len(as_admin.get(url).context["page"]) == 50


def test_an_endless_line_is_not_read_past_the_bound():
    file = io.BytesIO(b"x" * 10_000_000)
    with pytest.raises(ImportRefusal):
        list(lines_of(io.BufferedReader(Bounded(file, 2_000_000))))
    assert file.tell() < 4_000_000


# Anything JSON can say, with the names that importers look for among its keys.
NAMES = ["prompt", "messages", "role", "content", "text", "replies", "rank", "message_id"]
NAMES += ["message_tree_id", "deleted"]
WORDS = ["prompter", "assistant", "user", "system", "\x00", "\ud800", " ", "x" * 81]
leaves = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from(WORDS)
)
anything = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(NAMES) | st.text(), inner, max_size=6)
    ),
    max_leaves=20,
)
replies = st.lists(
    st.fixed_dictionaries({}, optional=dict.fromkeys(NAMES, anything))
    | st.fixed_dictionaries(
        {
            "role": st.just("assistant"),
            "text": st.just("Hi.") | anything,
            "rank": st.just(0) | anything,
            "message_id": st.sampled_from(["a", "b"]) | anything,
            "deleted": anything,
        }
    ),
    max_size=4,
)
trees = st.fixed_dictionaries(
    {
        "message_tree_id": st.just("t") | anything,
        "prompt": st.fixed_dictionaries(
            {
                "role": st.just("prompter") | anything,
                "text": st.just("Why?") | anything,
                "replies": replies | anything,
                "deleted": anything,
            }
        ),
    }
)
lines = st.binary(max_size=200) | (anything | trees).map(lambda row: json.dumps(row).encode())


@pytest.fixture(scope="module")
def any_files():
    return drawn(st.lists(lines, max_size=4).map(b"\n".join))


@pytest.mark.parametrize("format", [GUESS, *FORMATS])
def test_whatever_a_file_holds_it_is_rows_or_a_refusal(format, any_files):
    look_at_each(any_files, lambda content: rows_or_a_refusal(content, format))


def rows_or_a_refusal(content, format):
    found = read_rows(rows_of(io.BytesIO(content)), format)
    for prompt in found.prompts.values():
        texts = [turn.content for turn in prompt.messages]
        texts += [answer.text for answer in prompt.answers.values()]
        assert all(text.strip() and "\x00" not in text and text.encode() for text in texts)
