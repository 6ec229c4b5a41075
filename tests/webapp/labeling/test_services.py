"""Tasks queued; labels stored, revised, taken back; pairs skipped."""

from datetime import timedelta
from uuid import uuid4

import pytest
from django.db.models import ProtectedError
from django.utils import timezone

from tests.factories import (
    a_completion,
    a_label,
    a_project,
    a_prompt,
    a_user,
    again,
    an_artifact,
    compare,
    some_tasks,
)
from tests.webapp.labeling.acts import overdue, queries_of
from webapp.labeling import queue
from webapp.labeling.models import Assignment, Label, Task
from webapp.labeling.queries import newest_act
from webapp.labeling.services import (
    Ask,
    Draft,
    DraftConflict,
    LabelingError,
    create_tasks,
    expire_leases,
    save_draft,
    set_aside,
    skip,
    submit_label,
    undo,
    undo_label,
)

STATE = Assignment.State
CLIENT = uuid4()


@pytest.fixture
def leased(project, ana):
    some_tasks(project, 1)
    return queue.claim(project, ana)


def submit(assignment, choice=2, **fields):
    return submit_label(assignment, **{"client_id": uuid4(), "answer": {"choice": choice}} | fields)


def counts(task):
    task = again(task)
    return task.taken, task.done


def test_pairs_become_tasks_that_need_as_many_labels_as_asked(project):
    (task,) = some_tasks(project, 1, need=3)
    assert (task.need, task.taken, task.done) == (3, 0, 0)


def test_equal_texts_are_not_compared(project):
    assert some_tasks(project, 1, texts=("Same.", "Same.\n")) == []


def test_a_pair_is_queued_once_in_whichever_order_it_comes(project):
    prompt = a_prompt(project)
    pair = (a_completion(prompt), a_completion(prompt))
    assert compare(project, [pair, pair[::-1]], need=1) == 1
    assert compare(project, [pair[::-1]], need=1) == 0


def test_answers_to_different_prompts_are_refused(project):
    pair = (a_completion(a_prompt(project)), a_completion(a_prompt(project)))
    with pytest.raises(LabelingError, match="same prompt"):
        compare(project, [pair], need=1)


def test_each_model_stands_left_in_half_of_its_tasks(project, ana, tmp_path):
    old, new = an_artifact(project, tmp_path), an_artifact(project, tmp_path)
    pairs = []
    for number in range(16):  # either model may have answered first
        prompt, models = a_prompt(project), (old, new)[:: (-1) ** number]
        pairs.append([a_completion(prompt, model=model) for model in models])
    compare(project, pairs, need=1)
    cards = queue.claim_page(project, ana, count=16)
    assert sum(card.shown[0].model == old for card in cards) == 8


def test_few_tasks_are_balanced_too_whichever_model_answered_first(project, ana, tmp_path):
    old, new = an_artifact(project, tmp_path), an_artifact(project, tmp_path)
    for _ in range(
        12
    ):  # by chance alone it would be so in each of them once in four thousand times
        prompts = [a_prompt(project) for _ in range(4)]
        orders = [(old, new), (new, old)] * 2
        pairs = [
            [a_completion(prompt, model=model) for model in models]
            for prompt, models in zip(prompts, orders, strict=True)
        ]
        compare(project, pairs, need=1)
        tasks = Task.objects.filter(prompt__in=prompts)
        first = [task.in_order(task.order(0))[0].model for task in tasks]
        assert first.count(old) == 2


def test_a_label_stores_what_was_shown_and_chosen(leased):
    label = submit(leased, choice=3, rationale="Kinder.", flags=["false"], visible_ms=1200)
    assert (label.shown, label.answer) == (leased.shown, {"choice": 3})
    assert (label.rationale, label.flags, label.visible_ms) == ("Kinder.", ["false"], 1200)
    assert label.counted
    assert counts(leased.task) == (1, 1)


def test_a_replayed_submit_stores_one_label(leased):
    for _ in range(2):
        submit(leased, client_id=CLIENT)
    assert Label.objects.count() == again(leased.task).done == 1


def test_a_second_answer_is_a_revision_that_speaks_alone(leased):
    submit(leased, choice=1)
    newest = submit(leased, choice=7)
    assert Label.objects.current().get() == newest
    assert newest.counted
    assert counts(leased.task) == (1, 1)


def test_a_late_answer_counts_while_its_place_is_free(leased):
    overdue(leased)
    expire_leases()
    assert submit(leased).counted
    assert counts(leased.task) == (1, 1)


def test_a_late_answer_is_kept_as_an_extra_when_the_place_is_taken(leased, ben):
    overdue(leased)
    his = queue.claim(leased.task.project, ben)
    assert not submit(leased).counted
    assert submit(his).counted
    assert counts(leased.task) == (1, 1)


def test_who_gave_an_extra_is_not_asked_again(leased, ana, ben):
    overdue(leased)
    his = queue.claim(leased.task.project, ben)
    submit(leased)
    skip(his)
    assert queue.claim(leased.task.project, ana) is None


def test_undo_takes_the_label_back_and_leases_the_same_sides_again(leased, ana):
    label = submit(leased)
    back = undo_label(ana, label.client_id)
    assert (back, back.shown[0], back.state) == (leased, leased.shown[0], STATE.LEASED)
    assert again(label).retracted
    assert counts(leased.task) == (1, 0)


def test_an_undone_pair_is_answered_anew(leased, ana):
    undo_label(ana, submit(leased).client_id)
    assert submit(leased, choice=6).counted
    assert Label.objects.current().get().said.choice == 6
    assert counts(leased.task) == (1, 1)


def test_undoing_twice_changes_nothing_more(leased, ana):
    label = submit(leased)
    undo_label(ana, label.client_id)
    assert undo_label(ana, label.client_id) is None
    assert counts(leased.task) == (1, 0)


def test_nobody_undoes_the_label_of_somebody_else(leased, ben):
    assert undo_label(ben, submit(leased).client_id) is None
    assert counts(leased.task) == (1, 1)


def test_undoing_an_extra_takes_no_place(leased, ana, ben):
    overdue(leased)
    queue.claim(leased.task.project, ben)
    back = undo_label(ana, submit(leased).client_id)
    assert back.state == STATE.EXPIRED
    assert counts(leased.task) == (1, 0)


def test_undoing_an_extra_takes_a_place_that_has_become_free(leased, ana, ben):
    overdue(leased)
    his = queue.claim(leased.task.project, ben)
    late = submit(leased)
    skip(his)
    assert undo_label(ana, late.client_id).state == STATE.LEASED
    assert counts(leased.task) == (1, 0)


def test_a_skipped_pair_goes_to_somebody_else_and_never_comes_back(leased, ana, ben):
    skip(leased, "unclear")
    assert queue.claim(leased.task.project, ana) is None
    assert queue.claim(leased.task.project, ben).task == leased.task


def test_what_three_people_skipped_is_not_handed_out_any_more(leased, project):
    skip(leased)
    skip(queue.claim(project, a_user(project)))
    third = queue.claim(project, a_user(project))
    skip(third)
    assert queue.claim(project, a_user(project)) is None
    assert again(leased.task).held_back


def test_one_person_skipping_thrice_is_one_skip(leased):
    for _ in range(3):
        skip(leased)
    assert again(leased.task).skips == 1


def test_who_answers_after_all_takes_the_skip_back(leased):
    skip(leased)
    assert submit(leased).counted
    assert again(leased.task).skips == 0


def test_a_skip_keeps_what_was_written(leased):
    save_draft(leased, Draft("Half"))
    skip(leased, "unclear")
    assert again(leased).draft["rationale"] == "Half"


def test_drafts_of_one_page_are_ordered_by_its_own_count(leased):
    save_draft(leased, Draft("newer", base=0, page="tab", count=2))
    save_draft(leased, Draft("older", base=0, page="tab", count=1))
    assert again(leased).draft["rationale"] == "newer"


def test_who_goes_on_with_the_newest_draft_is_not_silenced(leased):
    revision = save_draft(leased, Draft("first", base=0, page="desk", count=9))
    save_draft(leased, Draft("first, then more", base=revision, page="phone", count=1))
    assert again(leased).draft["rationale"] == "first, then more"


def test_words_that_a_page_has_not_seen_are_told_and_not_replaced(leased):
    save_draft(leased, Draft("from the desk", base=0, page="desk", count=1))
    with pytest.raises(DraftConflict) as conflict:
        save_draft(leased, Draft("from the phone", base=0, page="phone", count=1))
    assert conflict.value.there.draft["rationale"] == "from the desk"
    assert again(leased).draft["rationale"] == "from the desk"


def test_words_that_an_answer_has_not_seen_stay_beside_it(leased, ana):
    save_draft(leased, Draft("from the desk", base=0, page="desk", count=1))
    answer = Draft("from the phone", base=0, page="phone")
    assert set_aside(again(leased), answer) == "from the desk"
    label = submit(leased, rationale=answer.rationale)
    assert undo_label(ana, label.client_id).draft["other"] == "from the desk"


def test_words_that_an_answer_goes_on_with_are_part_of_it(leased):
    save_draft(leased, Draft("Half", base=0, page="tab", count=1))
    assert set_aside(again(leased), Draft("Half a thought", base=0, page="tab")) == ""
    assert set_aside(again(leased), Draft("Half a thought", base=0, page="other")) == ""


def test_a_second_answer_knows_what_it_replaced(leased):
    assert submit(leased, choice=1).replaced is None
    assert submit(leased, choice=7).replaced.said.choice == 1


def test_what_was_replaced_is_said_without_another_query(leased, django_assert_num_queries):
    submit(leased, choice=1)
    replaced = submit(leased, choice=7).replaced
    with django_assert_num_queries(0):
        assert replaced.in_words.text == "A much better"


def test_undo_takes_a_skip_back(leased, ana):
    name = uuid4()
    skip(leased, "unclear", Draft("Half"), skip_id=name)
    back = undo(ana, name)
    assert (back, back.state, back.draft["rationale"]) == (leased, STATE.LEASED, "Half")
    assert counts(leased.task) == (1, 0)
    assert again(leased.task).skips == 0


def test_an_undone_skip_keeps_its_sides(project, ana):
    some_tasks(project, 1, need=3)
    held = queue.claim(project, ana)
    left, name = held.shown[0], uuid4()
    skip(held, skip_id=name)
    for _ in range(2):
        queue.claim(project, a_user(project))
    assert undo(ana, name).shown[0] == left


def test_an_undone_skip_whose_place_is_taken_is_an_extra(leased, ana, ben):
    name = uuid4()
    skip(leased, skip_id=name)
    queue.claim(leased.task.project, ben)
    back = undo(ana, name)
    assert back.state == STATE.EXPIRED
    assert not submit(back).counted


def test_a_skip_that_comes_again_after_its_undo_changes_nothing(leased, ana):
    name = uuid4()
    skip(leased, skip_id=name)
    undo(ana, name)
    skip(leased, skip_id=name)
    assert again(leased).state == STATE.LEASED
    assert undo(ana, name) is None


def test_nobody_undoes_the_skip_of_somebody_else(leased, ben):
    name = uuid4()
    skip(leased, skip_id=name)
    assert undo(ben, name) is None
    assert again(leased).state == STATE.SKIPPED


def test_an_answer_ends_the_draft_and_a_late_one_does_not_come_back(leased):
    save_draft(leased, Draft("Half"))
    submit(leased, rationale="Whole")
    save_draft(leased, Draft("Half"))
    assert again(leased).draft == {}


def test_undo_gives_the_words_back(leased, ana):
    label = submit(leased, rationale="Whole", flags=["false"])
    assert undo_label(ana, label.client_id).draft == {"rationale": "Whole", "flags": ["false"]}


def test_a_lease_comes_back_with_its_draft(leased, ana, project):
    save_draft(leased, Draft("Half"))
    overdue(leased)
    expire_leases()
    assert queue.claim(project, ana).draft["rationale"] == "Half"


def test_skipping_twice_gives_the_place_back_once(leased):
    skip(leased)
    skip(leased)
    assert counts(leased.task) == (0, 0)


def test_an_answered_pair_is_not_skipped(leased):
    submit(leased)
    with pytest.raises(LabelingError, match="undo"):
        skip(leased)


def test_a_submit_takes_a_constant_number_of_queries(project, ana, django_assert_num_queries):
    some_tasks(project, 30)
    few = queries_of(lambda: submit(queue.claim(project, ana)))
    for _ in range(20):
        submit(queue.claim(project, ana))
    with django_assert_num_queries(few):
        submit(queue.claim(project, ana))


def test_a_submit_takes_eight_queries(leased):
    assert queries_of(lambda: submit(leased)) <= 8


def test_what_the_kind_does_not_know_is_no_answer(leased):
    for nonsense in ({"choice": 9}, {"choice": None}, {}, {"choice": 1, "more": 2}, None):
        with pytest.raises(LabelingError, match="no answer"):
            submit_label(leased, client_id=uuid4(), answer=nonsense)
    assert counts(leased.task) == (1, 0)


def test_a_label_keeps_the_order_that_was_seen_and_a_verdict(leased):
    label = submit(leased, choice=1)
    assert label.order == leased.order
    assert label.verdict == f"{leased.order[0]}>{leased.order[1]}"


def test_a_task_of_its_kind_has_so_many_answers(project):
    prompt = a_prompt(project)
    three = Ask.about([a_completion(prompt) for _ in range(3)])
    with pytest.raises(LabelingError, match="not about 3 answers"):
        create_tasks(project, "compare", [three], need=1)


def test_a_labelled_answer_is_not_deleted(leased):
    submit(leased)
    with pytest.raises(ProtectedError):
        leased.task.prompt.delete()


def test_a_prompt_without_labels_goes_with_its_tasks(leased):
    leased.task.prompt.delete()
    assert not Task.objects.exists()


def test_another_projects_tasks_stay_apart(project):
    some_tasks(project), some_tasks(a_project())
    assert Task.objects.filter(project=project).count() == 1


def test_undoing_a_second_answer_lets_the_first_speak_again(leased, ana):
    first = submit(leased, choice=2)
    second = submit(leased, choice=6)
    assert undo_label(ana, second.client_id) == leased
    assert Label.objects.current().get() == first
    assert again(first).counted
    assert counts(leased.task) == (1, 1)


def test_what_was_done_last_is_told_by_no_clock(project, ana):
    some_tasks(project, 3)
    first = submit(queue.claim(project, ana))
    second = submit(queue.claim(project, ana))
    name = uuid4()
    skip(queue.claim(project, ana), skip_id=name)
    assert newest_act(ana, project) == name
    undo(ana, name)
    assert newest_act(ana, project) == second.client_id
    Label.objects.update(created_at=timezone.now() + timedelta(hours=1))
    skip(queue.claim(project, ana), skip_id=(again_skipped := uuid4()))
    assert newest_act(ana, project) == again_skipped
    undo(ana, again_skipped)
    undo(ana, second.client_id)
    assert newest_act(ana, project) == first.client_id


def test_flags_that_an_answer_has_not_seen_stay_beside_it(leased):
    save_draft(leased, Draft(flags=["harmful"], base=0, page="desk", count=1))
    assert set_aside(again(leased), Draft(base=0, page="phone")) == "Flags: harmful."
    assert set_aside(again(leased), Draft(flags=["harmful"], base=0, page="phone")) == ""


def test_a_dispute_begins_and_ends_with_what_the_others_say(project):
    task = some_tasks(project, need=2)[0]
    first, second = a_label(task, choice=0), a_label(task, choice=7)
    assert set(Label.objects.disagreeing()) == {first, second}
    undo(second.annotator, second.client_id)
    assert not Label.objects.disagreeing().exists()


def test_only_a_disagreement_costs_a_statement_more(project):
    agreed, parted = some_tasks(project, 2, need=2)
    for task in (agreed, parted):
        a_label(task, choice=0)
    assert queries_of(lambda: a_label(agreed, choice=0)) + 1 == queries_of(
        lambda: a_label(parted, choice=7)
    )


def test_an_extra_is_disputed_by_who_answers_after_it(leased, ben):
    overdue(leased)
    his = queue.claim(leased.task.project, ben)
    extra, counted = submit(leased, choice=0), submit(his, choice=7)
    assert set(Label.objects.disagreeing()) == {extra, counted}
    undo(ben, counted.client_id)
    assert not Label.objects.disagreeing().exists()
    submit(again(his), choice=7)
    assert Label.objects.disagreeing().count() == 2
