"""What rows become: answers, tasks to label, preferences; and that twice adds nothing."""

import io
import json

import pytest
from django.core.management import CommandError, call_command
from django.urls import reverse
from hypothesis import given, settings
from hypothesis import strategies as st

from alignment.rows.found import Demonstrated, Thumbed
from alignment.rows.json_lines import Row
from alignment.seam.records import Message, prompt_key, split_of, split_of_prompt
from tests.factories import a_completion, a_prompt, a_user
from tests.faults.ledger import miscounted
from tests.toys.tasks.best.kind import KIND as BEST
from tests.toys.tasks.write.kind import KIND as WRITE
from webapp.accounts.roles import Role
from webapp.datasets.imports.parts import take_in
from webapp.datasets.imports.reading import SPLIT_TWICE, read_rows
from webapp.datasets.imports.sizes import outlook
from webapp.datasets.intake import (
    ALIKE,
    ALONE,
    ANSWERS,
    ASKED,
    JUDGED,
    NO_KIND,
    OTHER_RANK,
    OTHER_WORDS,
    TEST,
    UNTOLD,
    Become,
    Plan,
    how_many_pairs,
    some_pairs,
)
from webapp.datasets.models import Preference
from webapp.datasets.services import freeze_snapshot
from webapp.datasets.snapshots import read
from webapp.labeling import queue
from webapp.labeling.kinds import TASK_KINDS, registered
from webapp.labeling.kinds.compare import Choice
from webapp.labeling.models import Completion, Label, Task, TaskItem
from webapp.projects.models import Project

pytestmark = pytest.mark.once


def held(*rows):
    return read_rows(Row(f"row {n}", row) for n, row in enumerate(rows, start=1))


def taken(project, *rows, become=Become.PREFERENCES, **options):
    return take_in(project, held(*rows), Plan(become, **options))


def asked_in(split, start=0):
    """A question whose prompt is in this split."""
    texts = (f"Question {start + n}?" for n in range(1000))
    return next(
        text
        for text in texts
        if split_of(prompt_key([Message(role="user", content=text)])) == split
    )


WHY = asked_in("train")


@pytest.fixture
def writing(monkeypatch):
    """The only kind that has words for texts of one's own, and for thumbs none."""
    for kind in [*TASK_KINDS]:
        if TASK_KINDS[kind].imported(Demonstrated("x")) or TASK_KINDS[kind].imported(
            Thumbed(good=True)
        ):
            monkeypatch.delitem(TASK_KINDS, kind)

    def imported(said):
        return WRITE.Answer(text=said.text) if isinstance(said, Demonstrated) else None

    with registered(WRITE.model_copy(update={"imported": imported})) as kind:
        yield kind


def test_rows_become_tasks_of_any_kind_that_their_answers_are_enough_for(project, writing):
    rows = several(*"abcd"), several("x", "y", prompt="Two?"), {"prompt": "Nothing?"}
    with registered(BEST):
        coming = outlook(project, held(*rows))["tasks"]
        assert (coming["best"], coming["write"], coming["compare"]) == (1, 3, 7)
        added = taken(project, *rows, become=Become.TASKS, kind="best")
        assert (added.tasks, added.left_out[ALONE]) == (1, 2)
        assert len(Task.objects.get(kind="best").completions) == 3
    assert taken(project, *rows, become=Become.TASKS, kind="write").tasks == 3
    assert taken(project, *rows, become=Become.TASKS, kind="write").tasks == 0


def test_answers_become_demonstrations_unless_others_were_put_before_them(project, writing):
    rows = [
        {"prompt": WHY, "completion": "Good.", "annotator": "ada"},
        {"prompt": WHY, "chosen": "Better.", "rejected": "Worse."},
        {"prompt": WHY, "completion": "Bad.", "label": False},
    ]
    added = taken(project, *rows, become=Become.DEMONSTRATIONS)
    assert (added.labels, added.completions, added.left_out[UNTOLD]) == (2, 0, 2)
    labels = Label.objects.filter(task__kind="write", imported=True).order_by("pk")
    told = [(label.said.text, label.annotator.first_name) for label in labels]
    assert told == [("Good.", "ada"), ("Better.", "unnamed")]
    assert taken(project, *rows, become=Become.DEMONSTRATIONS).labels == 0
    assert miscounted() == 0


def test_two_demonstrations_of_one_person_to_one_prompt_are_two(project, writing):
    rows = [{"prompt": WHY, "completions": ["One.", "Two."]}]
    assert taken(project, *rows, become=Become.DEMONSTRATIONS).labels == 2
    assert taken(project, *rows, become=Become.DEMONSTRATIONS).labels == 0
    assert Task.objects.filter(kind="write").count() == 2


def test_labels_keep_their_annotators_and_those_of_no_kind_here_are_told(project, writing):
    battle = {"prompt": WHY, "answer_a": "x", "answer_b": "y"}
    rows = [
        battle | {"winner": "b", "annotator": 7},
        battle | {"winner": "tie", "annotator": "ada"},
        {"prompt": WHY, "completion": "x", "label": True},
    ]
    added = taken(project, *rows)
    assert (added.labels, added.preferences, added.left_out[NO_KIND]) == (2, 0, 1)
    said = {one.annotator.first_name: one.said.choice for one in Label.objects.all()}
    assert said == {"7": Choice.RIGHT_SLIGHTLY, "ada": Choice.TIE}
    assert taken(project, *rows).labels == 0


def test_thumbs_and_marks_of_a_file_are_labels_on_its_own_scale(project):
    marks = {"helpfulness": 3, "correctness": 4, "coherence": 4, "complexity": 2, "verbosity": 0}
    rows = [
        {"prompt": WHY, "completion": "x", "label": False, "annotator": "ada"},
        {"prompt": WHY, "response": "y"} | marks,
        {"prompt": WHY, "completion": "z", "rating": 4},
    ]
    assert (taken(project, *rows).labels, taken(project, *rows).labels) == (3, 0)
    said = {one.task.kind + one.shown[0].text: one.said for one in Label.objects.all()}
    assert said["thumbsx"].thumb == "down"
    assert "A:verbosity:1/5" in said["ratey"].marks  # from 0 to 4 there, from 1 to 5 here
    assert (said["ratez"].qualities, said["ratez"].levels) == ([4], 5)
    assert freeze_snapshot(project).labels == 3


def test_an_order_that_a_tool_exported_is_a_label_of_the_kind_that_has_words_for_it(project):
    result = {"type": "ranker", "value": {"ranker": {"rank": ["3", "1", "2"]}}}
    items = [{"id": name, "body": text} for name, text in zip("123", "xyz", strict=True)]
    entry = {"completed_by": {"email": "ada@example.org"}, "result": [result]}
    row = {"id": 1, "data": {"prompt": WHY, "items": items}, "annotations": [entry]}
    assert (taken(project, row).labels, taken(project, row).labels) == (1, 0)
    (label,) = Label.objects.all()
    assert [one.text for one in label.shown] == ["x", "y", "z"]
    assert (label.task.kind, label.said.ranking) == ("rank", "C>A>B")
    assert freeze_snapshot(project).pairs == 3


def test_who_a_preference_is_of_reaches_a_snapshot(project):
    row = {"prompt": WHY, "chosen": "x", "rejected": "y", "annotator": "ada"}
    assert [taken(project, row).preferences, taken(project, row).preferences] == [1, 0]
    assert taken(project, row | {"annotator": "bo"}).preferences == 1
    rows = read(freeze_snapshot(project).artifact.path)
    assert {one["annotator"] for one in rows} == {"ada", "bo"}


def several(*answers, prompt=WHY):
    return {"prompt": prompt, "responses": list(answers)}


def reply(name, rank=None, text=None, *replies):
    row = {"message_id": name, "role": "assistant", "text": text or f"I am {name}."}
    return row | {"rank": rank, "replies": list(replies)}


def tree(*replies, text=WHY):
    root = {"message_id": "t", "role": "prompter", "text": text, "replies": list(replies)}
    return {"message_tree_id": "t", "prompt": root}


def test_a_teams_own_answers_can_be_labelled(project):
    added = taken(project, several("x", "y"), become=Become.TASKS, need=2)
    assert (added.prompts, added.completions, added.tasks) == (1, 2, 1)
    card = queue.claim(project, a_user(project, Role.ANNOTATOR))
    assert {card.shown[0].text, card.shown[1].text} == {"x", "y"}
    assert (card.task.need, miscounted()) == (2, 0)


@pytest.mark.twice
def test_tasks_are_made_once(project):
    for tasks in (1, 0):
        assert taken(project, several("x", "y"), become=Become.TASKS).tasks == tasks
    assert (Completion.objects.count(), Task.objects.count()) == (2, 1)


def test_no_task_is_made_of_what_is_kept_for_testing(project):
    row = several("x", "y", prompt=asked_in("test"))
    assert outlook(project, held(row))["tested"] == 1
    added = taken(project, row, become=Become.TASKS)
    assert (added.tasks, added.completions, added.left_out) == (0, 2, {TEST: 1})


def test_a_prompt_that_is_there_keeps_its_split(project):
    a_prompt(project, WHY, split="test")
    assert taken(project, several("x", "y"), become=Become.TASKS).left_out == {TEST: 1}


def test_pairs_of_many_answers_are_capped_and_spread(project):
    added = taken(project, several(*"abcdefgh"), become=Become.TASKS, pairs=8)
    times = [TaskItem.objects.filter(completion=c).count() for c in Completion.objects.all()]
    assert (added.tasks, set(times)) == (8, {2})
    assert outlook(project, held(several(*"abcdefgh")))["all_pairs"] == 28


@given(size=st.integers(0, 40), most=st.integers(0, 900))
def test_pairs_are_distinct_even_and_as_many_as_said(size, most):
    pairs = some_pairs(range(size), most)
    assert len({frozenset(pair) for pair in pairs}) == len(pairs) == how_many_pairs(size, most)
    if pairs:
        times = [sum(row in pair for pair in pairs) for row in range(size)]
        assert max(times) - min(times) <= 2


def test_sides_of_new_tasks_are_balanced(project):
    rows = [several("x", "y", prompt=asked_in("train", 1000 * n)) for n in range(40)]
    taken(project, *rows, become=Become.TASKS)
    assert Task.objects.filter(flip=1).count() == 20


def test_prompts_only_say_what_they_leave(project):
    added = taken(
        project, several("x", "y"), tree(reply("a", 0), reply("b", 1)), become=Become.PROMPTS
    )
    assert (added.prompts, added.completions) == (1, 0)
    assert added.left_out == {ANSWERS: 4, JUDGED: 1}


def test_answers_only_take_no_preference(project):
    rows = [{"prompt": WHY, "chosen": "x", "rejected": "y"}, tree(reply("a", 0), reply("b", 1))]
    added = taken(project, *rows, become=Become.ANSWERS)
    assert (added.completions, added.left_out) == (4, {JUDGED: 2})
    assert not Completion.objects.filter(rank__isnull=False).exists()
    assert not Preference.objects.exists()


@pytest.mark.twice
def test_what_was_left_can_be_taken_later(project):
    row, pair = tree(reply("a", 0), reply("b", 1)), {"prompt": WHY, "chosen": "x", "rejected": "y"}
    taken(project, row, pair, become=Become.PROMPTS)
    taken(project, row, pair, become=Become.ANSWERS)
    assert taken(project, row, pair).completions == 0
    assert freeze_snapshot(project).pairs == 2


def test_preferences_reach_a_snapshot_with_their_group_and_no_sides(project):
    ranks = {"prompt": WHY, "completions": ["x", "y", "z"], "ranks": [0, 1, 2]}
    added = taken(project, ranks, {"prompt": "How?", "chosen": "x", "rejected": "y"})
    rows = list(read(freeze_snapshot(project).artifact.path))
    assert (added.preferences, len(rows)) == (4, 4)
    assert {(row["source"], row["annotator"], row["imported"]) for row in rows} == {
        ("rank", "import", True)
    }
    assert len({row["group"] for row in rows}) == 2


@pytest.mark.twice
def test_a_preference_said_twice_counts_twice_but_is_imported_once(project):
    pair = {"prompt": WHY, "chosen": "x", "rejected": "y"}
    for new in (2, 0):
        assert taken(project, pair, pair).preferences == new
    against = pair | {"chosen": "y", "rejected": "x"}
    assert taken(project, pair, against).preferences == 1


def test_one_answer_may_be_in_many_preferences(project):
    rows = [
        {"prompt": WHY, "chosen": better, "rejected": worse} for better, worse in ("ab", "ac", "ca")
    ]
    added = taken(project, *rows)
    assert (added.completions, added.preferences) == (3, 3)


@pytest.mark.twice
def test_an_answer_that_is_there_is_found_by_its_words(project):
    there = a_completion(a_prompt(project, WHY), "x")
    assert taken(project, several("x", "y"), become=Become.TASKS).completions == 1
    assert there.pk in TaskItem.objects.values_list("completion", flat=True)


def test_what_is_known_of_an_answer_is_stored_with_it(project):
    taken(project, {"prompt": WHY, "answer_a": "x", "model_a": "m1"}, tree(reply("a", 0)))
    assert Completion.objects.get(text="x").sampling == {"model": "m1"}
    assert Completion.objects.get(key="a").sampling == {"ranking": "t"}


def test_a_file_that_an_earlier_version_trimmed_is_not_doubled(project):
    prompt = a_prompt(project, "Why?\nSo?")
    a_completion(prompt, "I am a.", key="a", rank=0, sampling={"ranking": "t"})
    a_completion(prompt, "I am b.", key="b", rank=1, sampling={"ranking": "t"})
    row = tree(reply("a", 0, " I am a."), reply("b", 1), text=" Why?\r\nSo? ")
    added = taken(project, row)
    assert (added.prompts, added.completions, added.left_out) == (0, 0, {OTHER_WORDS: 1})
    assert freeze_snapshot(project).pairs == 1


def test_prompts_that_differ_in_spaces_are_two_in_one_split(project):
    taken(project, {"prompt": WHY}, {"prompt": f" {WHY}\r\n"}, become=Become.PROMPTS)
    assert set(project.prompts.values_list("split", flat=True)) == {"train"}
    assert project.prompts.count() == 2


def test_a_rank_that_is_there_stays(project):
    taken(project, tree(reply("a", 0), reply("b", 1)))
    assert taken(project, tree(reply("a", 1), reply("b", 1))).left_out == {OTHER_RANK: 1}


def test_answers_that_look_the_same_make_no_task_and_are_told(project):
    assert taken(project, several("x", "x "), become=Become.TASKS).left_out == {ALIKE: 1}


@pytest.mark.once
@pytest.mark.django_db
@settings(max_examples=25, deadline=None)
@given(
    prompts=st.lists(
        st.lists(st.sampled_from(["x", " x", "x\n", "y", "z", "z ", "w"]), max_size=7),
        min_size=1,
        max_size=4,
    ),
    most=st.sampled_from([0, 6]),
)
def test_the_preview_promises_the_tasks_that_are_made(prompts, most):
    project = Project.objects.create(name="promised")
    rows = [several(*some, prompt=f"Question {n}?") for n, some in enumerate(prompts)]
    coming = outlook(project, held(*rows))
    added = taken(project, *rows, become=Become.TASKS, pairs=most)
    assert added.tasks == coming["some_pairs" if most else "all_pairs"]
    assert added.left_out[ALONE] == coming["alone"]
    project.delete()


def test_pairs_that_were_asked_about_and_prompts_of_one_answer_are_told(project):
    rows = several("x", "y"), several("x", prompt="One?")
    assert taken(project, *rows, become=Become.TASKS).left_out == {ALONE: 1}
    assert taken(project, *rows, become=Become.TASKS).left_out == {ALONE: 1, ASKED: 1}


RANKS = [
    {"prompt": WHY, "responses": [*"xyz"], "ranks": [0, 1, 1]},
    tree(reply("a", 0), reply("b", 1), reply("c", 1), reply("d", 2)),
]


@pytest.mark.twice
@pytest.mark.parametrize("row", RANKS, ids=["ranks", "tree"])
def test_ranks_are_counted_as_the_preferences_that_the_preview_promised(project, row):
    coming = outlook(project, held(row))["preferences"]
    taken(project, row, become=Become.ANSWERS)
    assert taken(project, row).preferences == coming > 0
    assert taken(project, row).preferences == 0
    assert freeze_snapshot(project).pairs == coming


def test_a_ranking_that_grows_counts_its_new_pairs(project):
    assert taken(project, tree(reply("a", 0), reply("b", 1))).preferences == 1
    assert taken(project, tree(reply("a", 0), reply("b", 1), reply("c", 2))).preferences == 2


def test_no_turn_of_a_tree_leaves_the_split_of_its_root(project):
    trees = []
    for number in range(60):
        later = {"message_id": f"q{number}", "role": "prompter", "text": "And?", "replies": []}
        row = tree(reply(f"a{number}", 0, None, later), text=f" Question {number}?")
        trees.append(row | {"message_tree_id": f"t{number}"})
    taken(project, *trees)
    by_root = {}
    for prompt in project.prompts.all():
        by_root.setdefault(prompt.messages[0]["content"], set()).add(prompt.split)
    assert {len(splits) for splits in by_root.values()} == {1}
    assert {split for splits in by_root.values() for split in splits} == {
        "train",
        "validation",
        "test",
    }
    assert project.prompts.count() == 120


@pytest.mark.twice
def test_the_split_that_a_file_says_is_that_of_the_whole_conversation(project):
    before = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello."}]
    later = [*before, {"role": "user", "content": "Why?"}]
    rows = [
        {"prompt": "Hi", "split": "test"},
        {"messages": later, "split": "train"},
        {"prompt": "Mine?", "split": "mine"},
    ]
    added = taken(project, *rows, become=Become.PROMPTS)
    assert set(project.prompts.exclude(messages__0__content="Mine?").values_list("split")) == {
        ("test",)
    }
    assert held(*rows).left_out == {SPLIT_TWICE: 1}
    assert (added.prompts, held(*rows).unused) == (3, {"split": 1})
    later[2]["content"] = "And then?"
    taken(project, {"messages": later, "split": "validation"}, become=Become.PROMPTS)
    assert project.prompts.filter(split="test").count() == 3


@given(text=st.text(min_size=1))
def test_the_split_of_one_turn_is_that_of_its_key(text):
    turn = Message(role="user", content=text.replace("\r\n", "\n").strip() or "x")
    assert split_of_prompt([turn]) == split_of(prompt_key([turn]))
    later = [turn, Message(role="assistant", content=text), Message(role="user", content=text)]
    assert split_of_prompt(later) == split_of_prompt([turn])


ODD = [
    "  a  ",
    "a\r\nb\r\n",
    "\ta\n",
    "\u00a0a\u00a0",
    "e\u0301",
    "\ufeffa",
    "a\u2028b\u2029",
    "ﬁ",
    "\x0ba\x1f",
]


@pytest.mark.twice
def test_texts_survive_the_database_and_a_snapshot_byte_for_byte(project):
    rows = [
        {"prompt": odd + " Why?\r\n", "chosen": odd, "rejected": f"{odd}!", "n": n}
        for n, odd in enumerate(ODD)
    ]
    taken(project, *rows)
    stored = list(read(freeze_snapshot(project).artifact.path))
    found = {(json.loads(r["messages"])[0]["content"], *r["items"]) for r in stored}
    assert found == {(row["prompt"], row["chosen"], row["rejected"]) for row in rows}


@pytest.fixture
def file(tmp_path):
    def write(*rows):
        path = tmp_path / "rows.jsonl"
        path.write_text(
            "".join(row if isinstance(row, str) else json.dumps(row) + "\n" for row in rows)
        )
        return path

    return write


def command(project, path, *options):
    out, err = io.StringIO(), io.StringIO()
    call_command("import_feedback", str(project), str(path), *options, stdout=out, stderr=err)
    return out.getvalue(), err.getvalue()


def test_the_command_names_what_it_does_not_use_and_may_only_look(project, file):
    path = file({"prompt": WHY, "chosen": "x", "rejected": "y", "margin": 2}, several("x", "y"))
    said, _ = command(project, path, "--dry-run")
    assert "1 margin" in said
    assert "Columns that are not used" in said
    assert "1 prompts and 2 answers would be added" in said
    assert not project.prompts.exists()


def test_the_command_makes_tasks_when_asked(project, file):
    path = file(several("x", "y", "z"))
    said, _ = command(
        project, path, "--as", "tasks", "--labels-per-task", "3", "--pairs-per-prompt", "2"
    )
    assert "2 tasks" in said
    assert set(Task.objects.values_list("need", flat=True)) == {3}


def test_the_command_leaves_bad_rows_out_and_lists_them(project, file):
    path = file({"prompt": WHY}, "{\n", {"prompt": " "}, tree(reply("a", 1.5), reply("b", 0.0)))
    with pytest.raises(CommandError, match="--leave-bad-rows-out"):
        command(project, path)
    assert not project.prompts.exists()
    said, errors = command(project, path, "--leave-bad-rows-out")
    assert "Bad rows left out: 3" in said
    assert [line.partition(":")[0] for line in errors.splitlines()] == [
        "line 2",
        "line 3",
        "line 4",
    ]
    assert list(Completion.objects.values_list("key", flat=True)) == ["b"]


def test_a_dry_run_makes_no_project(db, file):
    command("Fresh", file({"prompt": WHY}), "--dry-run", "--create")
    assert not Project.objects.exists()


def test_a_prompt_typed_here_keeps_its_indentation(client, project):
    client.force_login(a_user(project, Role.RESEARCHER))
    url = reverse("prompts", args=[project.pk])
    client.post(url, {"text": "  indented\r\ncode \r\n"})
    assert project.prompts.get().text == "  indented\ncode"
    client.post(url, {"text": " \r\n "})
    client.post(url, {"text": "  Indented\ncode \n"})
    assert project.prompts.count() == 1
