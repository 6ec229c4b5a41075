import io
import json

import pytest
from django.core.management import CommandError, call_command

from alignment.rows.json_lines import LONGEST_LINE, rows_of
from alignment.rows.oasst import DELETED
from tests.factories import a_project, a_prompt
from webapp.datasets.imports.parts import take_in
from webapp.datasets.imports.reading import read_rows
from webapp.datasets.intake import Become, Plan
from webapp.datasets.services import freeze_snapshot
from webapp.labeling.models import Completion
from webapp.projects.models import Project, Prompt

pytestmark = pytest.mark.once

REAL = "oasst_en_100_tree.jsonl"


def reply(number, rank, text="An answer.", **fields):
    """A reply as Open-Assistant's export documents it."""
    row = {"message_id": f"m{number}", "parent_id": "t1", "role": "assistant", "lang": "en"}
    return row | {"text": text, "rank": rank, "deleted": False, "replies": []} | fields


def tree(*replies, text="How do magnets work?", name="t1", **fields):
    """A message tree with one prompt, as a JSON line."""
    prompt = {"message_id": name, "text": text, "role": "prompter", "replies": list(replies)}
    return json.dumps(
        {"message_tree_id": name, "tree_state": "ready_for_export", "prompt": prompt | fields}
    )


def reading(*lines, format="oasst"):
    return read_rows(rows_of(io.BytesIO("\n".join(lines).encode())), format)


def read(*lines, format="oasst"):
    """The prompts of these lines, none of which is refused."""
    found = reading(*lines, format=format)
    assert found.refusals == []
    return list(found.prompts.values())


def answers_of(prompt):
    return list(prompt.answers.values())


def taken(project, *lines, become=Become.PREFERENCES, **options):
    return take_in(project, reading(*lines, format="guess"), Plan(become, **options))


@pytest.fixture
def file(tmp_path):
    def write(*lines):
        path = tmp_path / "rows.jsonl"
        path.write_text("\n".join(lines))
        return path

    return write


def import_file(project, path, *options, format="oasst"):
    out = io.StringIO()
    call_command("import_feedback", str(project), str(path), *options, format=format, stdout=out)
    return out.getvalue()


def test_a_tree_is_its_prompt_with_ranked_answers():
    (row,) = read(tree(reply(1, 1, "It is physics."), reply(2, 0, "Two poles attract.")))
    assert row.messages[0].content == "How do magnets work?"
    assert [(answer.key, answer.rank) for answer in answers_of(row)] == [("m1", 1), ("m2", 0)]


def test_deleted_messages_are_left_out_and_told():
    found = reading(tree(deleted=True), tree(reply(1, 0), reply(2, 1, deleted=True)))
    assert [list(prompt.answers) for prompt in found.prompts.values()] == [["m1"]]
    assert found.left_out == {DELETED: 2}


@pytest.mark.parametrize(
    "line",
    [
        '"Hello?"',
        '{"prompt": "Hello?"}',
        '{"messages": [{"role": "user", "content": "Hello?"}]}',
        '{"prompt": [{"role": "user", "content": "Hello?"}], "chosen": []}',
    ],
)
def test_a_prompt_may_be_written_in_four_ways(line):
    (row,) = read(line, format="prompts")
    assert [(turn.role, turn.content) for turn in row.messages] == [("user", "Hello?")]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("{", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ("17", "not a string"),
        ("{}", "no “prompt”"),
        ('""', "empty"),
        ('" \\n "', "empty"),
        ('"a\\u0000b"', "NUL"),
        ('"\\ud800"', "surrogate"),
        ('{"messages": []}', "not a list of messages"),
        ('{"messages": ["hi"]}', "not an object"),
        ('{"messages": [{"role": "boss", "content": "hi"}]}', "role"),
        ('{"messages": [{"role": "assistant", "content": "hi"}]}', "not the user's"),
        ('"' + "x" * LONGEST_LINE + '"', "longer than 1,000,000 bytes"),
    ],
)
def test_a_bad_prompt_is_refused_by_its_line(line, reason):
    found = reading('"Fine?"', "", line, '"Fine too?"', format="prompts")
    (said,) = found.refusals
    assert said.startswith("line 3: ")
    assert reason in said
    assert len(found.prompts) == 2


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("[]", "not an Open-Assistant"),
        ('{"prompt": {"role": "assistant", "text": "hi"}}', "not an Open-Assistant"),
        (tree(text=""), "the prompt is empty"),
        (tree(reply(1, 0, "")), "a reply (m1) is empty"),
        (tree(reply(1, -1)), "rank"),
        (tree(reply(1, "first")), "rank"),
        (tree(reply(1, True)), "rank"),
        (tree(reply(1, 0), reply(1, 1)), "share a message_id"),
        (tree(reply("x" * 80, 0)), "no message_id"),
        (tree(reply(1, 0, role="prompter")), "not an assistant's"),
        (tree(replies={}), "not a list"),
    ],
)
def test_a_bad_tree_is_refused_by_its_line(line, reason):
    (said,) = reading(tree(), line).refusals
    assert said.startswith("line 2: ")
    assert reason in said


def test_every_bad_line_is_named():
    said = reading("1", '"fine"', "2", format="prompts").refusals
    assert [line.partition(":")[0] for line in said] == ["line 1", "line 3"]


def test_an_import_stores_prompts_and_ranked_answers(project, file):
    said = import_file(project, file(tree(reply(1, 0), reply(2, 1)), tree(text="Why?", name="t2")))
    assert "2 prompts and 2 answers added" in said
    assert set(project.prompts.values_list("source", flat=True)) == {Prompt.Source.IMPORTED}
    stored = Completion.objects.order_by("rank").values_list("key", "rank", "source")
    assert list(stored) == [("m1", 0, "imported"), ("m2", 1, "imported")]


@pytest.mark.twice
def test_a_second_import_adds_nothing(project, file):
    path = file(tree(reply(1, 0), reply(2, 1)))
    import_file(project, path)
    assert "0 prompts and 0 answers added" in import_file(project, path)
    assert Completion.objects.count() == 2


def test_one_bad_line_keeps_the_whole_file_out(project, file):
    with pytest.raises(CommandError, match="line 2"):
        import_file(project, file(tree(reply(1, 0)), "{"))
    assert not Prompt.every.exists()
    assert not Completion.objects.exists()


def test_a_bad_line_can_be_left_out_and_is_listed(project, file, tmp_path):
    path, listed = file(tree(reply(1, 0)), "{"), tmp_path / "bad.txt"
    import_file(project, path, "--leave-bad-rows-out", "--bad-rows", str(listed))
    assert Completion.objects.count() == 1
    assert listed.read_text().startswith("line 2: not JSON")


@pytest.mark.twice
def test_an_import_that_breaks_midway_leaves_nothing(project, monkeypatch):
    def fail(*_args, **_options):
        raise OSError("disk full")

    monkeypatch.setattr("webapp.datasets.intake.insert_values", fail)
    with pytest.raises(OSError, match="disk full"):
        taken(project, tree(reply(1, 0)))
    assert not Prompt.every.exists()


def test_an_unknown_project_is_made_only_when_asked(db, file):
    path = file('"Hello?"')
    with pytest.raises(CommandError, match="--create"):
        import_file("Fresh", path, format="prompts")
    import_file("Fresh", path, "--create", format="prompts")
    assert Project.objects.get(name="Fresh").prompts.count() == 1


def test_a_refused_file_makes_no_project(db, file):
    with pytest.raises(CommandError):
        import_file("Fresh", file("{"), "--create", format="prompts")
    assert not Project.objects.exists()


@pytest.mark.twice
def test_a_project_is_found_by_its_number(project, file):
    import_file(project.pk, file('"Hello?"'), format="prompts")
    assert project.prompts.count() == 1


def test_a_missing_file_is_refused(project, tmp_path):
    with pytest.raises(CommandError, match="cannot be read"):
        import_file(project, tmp_path / "none.jsonl")


def test_the_same_prompt_may_be_in_two_projects(project, file):
    path, other = file('"Hello?"'), a_project()
    for into in (project, other):
        import_file(into, path, format="prompts")
    assert project.prompts.get().key == other.prompts.get().key


@pytest.mark.twice
def test_ranks_of_two_rankings_of_one_prompt_are_not_compared(project):
    one = tree(reply(1, 0, "a"), reply(2, 1, "b"))
    other = tree(reply(3, 0, "c"), reply(4, 1, "d"), name="t2")
    taken(project, one, other)
    assert freeze_snapshot(project).pairs == 2


def test_a_prompt_that_is_there_keeps_its_author(project, researcher):
    a_prompt(project, "How do magnets work?", author=researcher)
    added = taken(project, tree(reply(1, 0)))
    assert (added.prompts, added.completions) == (0, 1)
    assert project.prompts.get().author == researcher


def test_the_open_assistant_sample_gives_the_pairs_its_ranks_imply(project, shared_data):
    import_file(project, shared_data(REAL))
    assert (project.prompts.count(), freeze_snapshot(project).pairs) == (480, 754)
