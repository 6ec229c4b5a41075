"""Any kind of run, from the page that offers it to its row."""

import re
from types import MethodType
from uuid import uuid4

import pytest
from django.core.exceptions import ValidationError
from django.forms.utils import ErrorDict
from django.urls import reverse
from pydantic import BaseModel
from pytest_django.asserts import assertContains, assertNotContains, assertRedirects

from alignment.kinds import KINDS
from alignment.kinds.align.settings import AlignConfig
from alignment.kinds.generate.settings import GenerateConfig
from tests.cases import cases
from tests.factories import (
    a_project,
    a_prompt,
    a_run,
    a_snapshot,
    a_sweep,
    a_user,
    a_worker,
    again,
    an_artifact,
    run_at,
    some_prompts,
)
from tests.webapp.api.programs import Program
from webapp.accounts.roles import Role
from webapp.api.scopes import Scope
from webapp.api.tokens import make_token
from webapp.artifacts.models import Artifact, ArtifactInput
from webapp.launch.checks import Asked
from webapp.launch.defaults import proposed
from webapp.launch.form import StartForm, artifact_field
from webapp.launch.memory import needed_memory, too_large
from webapp.launch.needs import Stock, needs_of, stock_of
from webapp.launch.offers import offered, uses_of
from webapp.projects.models import Split
from webapp.runs.forecasts import Ground, readable_prompts
from webapp.runs.models import Run
from webapp.runs.waiting import live_workers
from webapp.sweeps.form import SweepForm
from webapp.sweeps.space import Dimension

pytestmark = pytest.mark.once

HTMX = {"HX-Request": "true"}
KEY = "7b1c7a4e-51a5-4a0b-8f1d-4f8e3a5b9c10"
REWARD = Artifact.Type.REWARD
SOME = ("align", "evaluate", "reward", "sft")  # of the kinds, tried in `make test`


@pytest.fixture
def rita(client, researcher):
    client.force_login(researcher)
    return client


def a_reward(project, folder, labels, **columns):
    """A reward model that learned from the labels of this split."""
    row = {"type": REWARD, "producer": a_run(project), **columns}
    Run.objects.filter(pk=row["producer"].pk).update(config={"labels": labels})
    return an_artifact(project, folder, **row)


@pytest.fixture(scope="module")
def shop(kept):
    """A project, and one of everything that a run may read."""
    project = a_project()
    some_prompts(project, 3, split=Split.TRAIN)
    some_prompts(project, 8, split=Split.TEST)
    return project, {
        "policy": an_artifact(project, kept, name="Starter"),
        "other": an_artifact(project, kept, name="Other"),
        "labels": a_snapshot(project, kept).artifact,
        "reward": a_reward(project, kept, "train", name="Reward A"),
        "judge": a_reward(project, kept, "validation", name="Judge A"),
    }


@pytest.fixture
def project(request, db):
    """The stocked one for whoever asks for its stock, else an empty one."""
    if "stocked" not in request.fixturenames:
        return a_project()
    return again(request.getfixturevalue("shop")[0])


@pytest.fixture
def stocked(shop, on_kept):
    return {name: again(artifact) for name, artifact in shop[1].items()}


WEIGHTS = Dimension(name="demonstration_weight", values=(0.0, 0.5))
GRID = {"method": "grid", "at_once": 2}


def address(project, kind, more=""):
    return f"{reverse('runs:start', args=[project.pk])}?kind={kind}{more}"


def filled(project, kind, **changes):
    """The values of a form as a browser sends it untouched, but for the changes."""
    proposal = proposed(KINDS[kind], project, {})
    form = StartForm(
        initial=proposal.initial, kind=KINDS[kind], project=project, start=proposal.config
    )
    values = {field.html_name: field.value() for field in form}
    sent = {name: value for name, value in values.items() if value is not None}
    return sent | {"key": KEY, "name": "Mine"} | changes


def test_a_server_answers_without_a_model_of_ours(rita, project, stocked):
    settings = {"engine": "server", "server_url": "http://models:8000/v1", "server_model": "big"}
    changes = {f"generate-{name}": value for name, value in settings.items()}
    answer = rita.post(address(project, "generate"), filled(project, "generate", **changes))
    assert answer.status_code == 302, answer.context["form"].errors
    run = Run.objects.get(kind="generate", name="Mine")
    assert (run.config["server_model"], run.inputs.count()) == ("big", 0)
    sent = filled(project, "generate", **changes) | {"policy": "", "kind": "generate"}
    words = "big answers 3 prompts"
    assertContains(rita.post(address(project, "generate"), sent, headers=HTMX), words)


def test_a_sweep_gives_each_trial_what_its_settings_read(project, stocked):
    form = SweepForm(kind=KINDS["align"], project=project)
    form.config, form.space = KINDS["align"].settings(), (WEIGHTS,)
    form.cleaned_data = stocked | {"reference": stocked["policy"], "labels": stocked["labels"]}
    form._errors = ErrorDict()
    form._check_together()
    assert "labels" in form.inputs
    sweep = a_sweep(project, WEIGHTS, kind="align", search=GRID, inputs=form.inputs)
    read = {
        trial.values["demonstration_weight"]: trial.run.inputs.filter(role="labels").exists()
        for trial in sweep.trials.all()
    }
    assert read == {0.0: False, 0.5: True}


@pytest.mark.twice
def test_a_trial_without_what_its_settings_read_is_refused_and_the_sweep_goes_on(project, stocked):
    inputs = {role: stocked[role] for role in ("policy", "reward")}
    inputs["reference"] = stocked["policy"]
    sweep = a_sweep(project, WEIGHTS, kind="align", search=GRID, inputs=inputs)
    refused = {one.values["demonstration_weight"]: one.message for one in sweep.trials.all()}
    assert refused == {0.0: "", 0.5: "This run needs to be told its labels."}


@pytest.mark.twice
def test_demonstrations_are_read_where_they_have_a_weight(rita, project, stocked):
    changes = {"align-demonstration_weight": 0.5, "labels": stocked["labels"].pk}
    answer = rita.post(address(project, "align"), filled(project, "align", **changes))
    assert answer.status_code == 302, answer.context["form"].errors
    run = Run.objects.get(kind="align", name="Mine")
    assert run.inputs.get(role="labels").artifact == stocked["labels"]


def test_stored_completions_are_read_where_they_have_a_share(rita, project, stocked, var):
    answers = an_artifact(project, var, type=Artifact.Type.COMPLETIONS, name="Answers")
    changes = {"align-stored_share": 0.5, "completions": answers.pk}
    refused = rita.post(address(project, "align"), filled(project, "align", **changes))
    assert "take the surrogate" in error_at(refused, "align-estimator")
    changes["align-estimator"] = "surrogate"
    sent = filled(project, "align", **changes | {"completions": ""})
    assert "need one" in error_at(rita.post(address(project, "align"), sent), "completions")
    rita.post(address(project, "align"), filled(project, "align", **changes))
    assert Run.objects.get(kind="align").inputs.get(role="completions").artifact == answers


def test_a_weight_without_demonstrations_is_refused_where_they_are_chosen(rita, project, stocked):
    sent = filled(project, "align", **{"align-demonstration_weight": 0.5, "labels": ""})
    assert "need one" in error_at(rita.post(address(project, "align"), sent), "labels")


def test_a_setting_of_another_objective_is_refused_beside_it(rita, project, stocked):
    sent = filled(project, "align", **{"align-objective": "ppo", "align-estimator": "surrogate"})
    assert (
        "ppo does not read"
        in error_at(rita.post(address(project, "align"), sent), "align-estimator").lower()
    )


def error_at(answer, field):
    return answer.context["form"].errors.get(field, [""])[0]


def test_every_kind_can_be_started_but_for_models_that_are_there_already():
    assert set(offered()) == set(KINDS) - {"import", "checkpoint"}


def test_every_role_is_asked_for_in_words():
    for kind in offered():
        for one in KINDS[kind].artifacts:
            assert one.title
            assert one.help.endswith(".")


@pytest.fixture
def rater(project, stocked, var):
    """What somebody's model for classes is, which one kind alone makes something of."""
    return an_artifact(project, var, type=Artifact.Type.CLASSIFIER, name="Rater")


@pytest.mark.usefixtures("rater")
@cases("kind", offered(), quick=SOME)
def test_a_form_sent_as_it_is_drawn_starts_its_run(rita, project, stocked, kind):
    changes = {"reference": stocked["policy"].pk} if kind == "evaluate" else {}
    answer = rita.post(address(project, kind), filled(project, kind, **changes))
    assert answer.status_code == 302, answer.context["form"].errors
    run = Run.objects.get(kind=kind, name="Mine")
    assertRedirects(answer, reverse("runs:detail", args=[project.pk, run.pk]))
    roles = KINDS[kind].roles(KINDS[kind].settings(**run.config))
    there = set(project.artifacts.values_list("type", flat=True))
    read = {role for role in roles if there & {*KINDS[kind].input_named(role).types}}
    assert set(run.inputs.values_list("role", flat=True)) == read


def artifacts_for(kind, project, var):
    """A fitting artifact of its own for each input of a kind."""
    return {
        one.role: an_artifact(project, var, type=one.types[0], name=one.role)
        for one in KINDS[kind].artifacts
    }


@pytest.mark.parametrize("kind", offered())
def test_whatever_is_chosen_and_read_is_given_to_the_run(project, var, kind):
    form = StartForm(kind=KINDS[kind], project=project)
    form.config = KINDS[kind].settings()
    form.cleaned_data = artifacts_for(kind, project, var)
    read = [one for one in KINDS[kind].artifacts if one.is_read(form.config)]
    assert set(form.given(read)) == {one.role for one in read}
    assert KINDS[kind].artifacts_read(form.config) == tuple(read)


@pytest.mark.usefixtures("rater")
@cases("kind", offered(), quick=("reward",))
def test_a_program_tries_one_step_as_the_form_does(researcher, project, stocked, kind):
    program = Program(make_token(researcher, name="t", scopes=[Scope.TRAIN]))
    form = filled(
        project, kind, **{"reference": stocked["policy"].pk} if kind == "evaluate" else {}
    )
    asks = KINDS[kind].artifacts_read(KINDS[kind].settings())
    read = {one.role: form[one.role] for one in asks if form.get(one.role)}
    inputs = {role: getattr(artifact, "pk", artifact) for role, artifact in read.items()}
    asked = {"kind": kind, "inputs": inputs, "dry_run": True}
    made = program.post(f"/projects/{project.pk}/runs", asked).json()
    assert made.get("dry_run"), made
    assert Run.objects.get(pk=made["id"]).dry


@pytest.mark.usefixtures("rater")
@cases("kind", offered(), quick=SOME)
def test_the_page_shows_every_setting_and_what_will_happen(rita, project, stocked, kind):
    answer = rita.get(address(project, kind))
    settings = KINDS[kind].settings.model_fields
    asked = [f"{kind}-{name}" for name in settings if name not in offered()[kind].fixed]
    for name in (*(one.role for one in KINDS[kind].artifacts), *asked):
        assertContains(answer, f'name="{name}"')
    assertContains(answer, 'id="outlook"')
    assertNotContains(answer, "Something is missing")


@pytest.mark.parametrize("kind", [kind for kind in offered() if kind != "pretrain"])
def test_in_an_empty_project_the_page_leads_to_what_comes_first(rita, project, kind):
    answer = rita.get(address(project, kind))
    assertContains(answer, "Something is missing")
    assertNotContains(answer, '<form method="post" class="stack launch"')


@pytest.mark.parametrize(
    ("kind", "has", "action"),
    [
        ("generate", ["prompt"], "Train the starter model"),
        ("sft", ["model"], "Answer prompts"),
        ("reward", ["model", "task"], "Answer prompts"),
        ("align", ["model", "prompt"], "Train a reward model"),
        ("evaluate", ["model", "prompt"], "Add prompts"),
    ],
)
def test_the_next_step_is_named_with_a_link(rita, project, var, kind, has, action):
    if "prompt" in has:
        a_prompt(project, split=Split.TRAIN)
    if "model" in has:
        an_artifact(project, var)
    assertContains(rita.get(address(project, kind)), f">{action}</a>")


def test_the_offers_say_what_is_missing(rita, project, var):
    an_artifact(project, var)
    answer = rita.get(reverse("runs:choose", args=[project.pk]))
    for row in offered().values():
        assertContains(answer, row.title)
    assertContains(answer, "<strong>a snapshot</strong>")
    assertNotContains(answer, "<strong>a model</strong>")


@pytest.mark.twice
def test_the_offers_take_few_queries(rita, project, stocked, django_assert_max_num_queries):
    with django_assert_max_num_queries(12):
        rita.get(reverse("runs:choose", args=[project.pk]))


def test_an_annotator_starts_nothing(client, project, stocked):
    client.force_login(a_user(project, role=Role.ANNOTATOR))
    assert client.get(reverse("runs:choose", args=[project.pk])).status_code == 404
    sent = filled(project, "pretrain")
    assert client.post(address(project, "pretrain"), sent).status_code == 404
    assert not Run.objects.filter(name="Mine").exists()


@pytest.mark.twice
def test_somebody_elses_project_starts_nothing(rita, db):
    foreign = a_project()
    assert rita.post(address(foreign, "pretrain"), {}).status_code == 404
    assert rita.get(reverse("runs:choose", args=[foreign.pk])).status_code == 404


@pytest.mark.parametrize("kind", ["import", "dream"])
def test_other_kinds_are_not_found(rita, project, kind):
    assert rita.get(address(project, kind)).status_code == 404


def test_without_a_kind_one_is_chosen_first(rita, project):
    answer = rita.get(reverse("runs:start", args=[project.pk]))
    assertRedirects(answer, reverse("runs:choose", args=[project.pk]))


def test_artifacts_of_other_projects_are_no_choice(rita, project, stocked, var):
    foreign = an_artifact(a_project(), var)
    answer = rita.post(address(project, "generate"), filled(project, "generate", policy=foreign.pk))
    assert "valid choice" in error_at(answer, "policy")


@pytest.mark.twice
def test_sending_the_form_twice_starts_one_run(rita, project):
    for _ in range(2):
        rita.post(address(project, "pretrain"), filled(project, "pretrain"))
    assert project.runs.count() == 1


@pytest.mark.parametrize(
    ("kind", "changes", "field", "words"),
    [
        ("pretrain", {"pretrain-heads": 3}, "pretrain-heads", "Width 128 does not divide"),
        ("align", {"align-prompts": 4}, "align-prompts_per_step", "more prompts than take part"),
        ("align", {"align-steps": 1}, "align-warmup", "longer than the 1 steps"),
        ("align", {"align-divergence": "reverse_kl", "align-must_contain": "x"},
         "align-divergence", "hard constraint"),
        ("prefer", {"prefer-divergence": "total_variation"}, "prefer-divergence", "do not decide"),
        ("sft", {"sft-prompt_template": "custom"}, "sft-custom_template", "needs {prompt} once"),
        ("evaluate", {}, "reference", "choose it here"),
        ("edit", {"edit-lines": "sun | a sun | x\nsun | a day | x"}, "edit-lines", "line 2: “a day”"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_said_beside_its_field_and_nothing_typed_is_lost(
    rita, project, stocked, kind, changes, field, words
):
    answer = rita.post(address(project, kind), filled(project, kind, seed=77, **changes))
    assert words in error_at(answer, field)
    assertContains(answer, 'value="77"')
    assert not Run.objects.filter(name="Mine").exists()


def test_a_model_is_not_compared_with_itself(rita, project, stocked):
    same = stocked["policy"].pk
    sent = filled(project, "evaluate", policy=same, reference=same)
    answer = rita.post(address(project, "evaluate"), sent)
    assert "nothing to compare" in error_at(answer, "reference")


@pytest.fixture
def t5(project, var):
    """A model that says it is a T5."""
    model = an_artifact(project, var, name="T5")
    (model.path / "config.json").write_text('{"model_type": "t5"}')
    return model


def takes(kind):
    return not kind.refusal(kind.settings(), "T5")


READERS = [name for name, one in KINDS.items() if one.group and one.input("policy")]


@cases("kind", READERS, quick=["align", "sft"])
def test_a_form_refuses_encoder_decoders_by_name_or_takes_them(rita, project, stocked, t5, kind):
    sent = filled(project, kind, policy=t5.pk, reference=t5.pk)
    if kind == "pretrain":
        sent |= {"pretrain-source": "file", "pretrain-model": "continued"}
    if kind == "evaluate":
        sent["reference"] = stocked["other"].pk
    answer = rita.post(address(project, kind), sent)
    if takes(KINDS[kind]):
        assert answer.status_code == 302, answer.context["form"].errors
    elif kind != "pretrain":
        title = KINDS[kind].title
        assert f"“{title}” takes no encoder-decoder" in error_at(answer, "policy")
        assert "(T5)" in error_at(answer, "policy")
        assert not Run.objects.filter(name="Mine").exists()


def test_spans_are_learned_by_encoder_decoders_alone(rita, project, stocked, t5, var):
    corpus = an_artifact(project, var, type=Artifact.Type.CORPUS)
    sent = filled(project, "pretrain", policy=stocked["policy"].pk, corpus=corpus.pk)
    chosen = {"source": "file", "model": "continued", "objective": "span_corruption"}
    sent |= {f"pretrain-{name}": value for name, value in chosen.items()}
    refused = rita.post(address(project, "pretrain"), sent)
    assert "takes encoder-decoders alone" in error_at(refused, "policy")
    answer = rita.post(address(project, "pretrain"), sent | {"policy": t5.pk})
    assert answer.status_code == 302, answer.context["form"].errors
    other = rita.post(
        address(project, "pretrain"),
        sent | {"policy": t5.pk, "pretrain-objective": "clm", "key": uuid4()},
    )
    assert "takes no encoder-decoder" in error_at(other, "policy")


def test_a_t5_is_offered_to_the_runs_that_take_it(rita, project, stocked, t5):
    titles = {use.title for use in uses_of(t5)}
    taking = {one.title for one in offered().values() if takes(one) and one.input("policy")}
    assert titles - {"Train a reward model"} == taking - {"Pretrain a model"}
    page = rita.get(reverse("registry:model", args=[project.pk, t5.pk]))
    assertContains(page, "An encoder-decoder (T5)")


def test_labels_that_are_too_few_are_refused(rita, project, stocked, var):
    few = a_snapshot(project, var, pairs={"train": 3, "validation": 9})
    answer = rita.post(
        address(project, "reward"), filled(project, "reward", labels=few.artifact.pk)
    )
    assert "3 usable pairs in the train split" in error_at(answer, "labels")


@pytest.mark.parametrize(
    ("judge", "words"), [("reward", "another reward model"), ("like it", "labels of other prompts")]
)
def test_a_judge_knows_other_labels_than_the_reward_model(
    rita, project, stocked, var, judge, words
):
    other = {"reward": stocked["reward"], "like it": a_reward(project, var, "train")}[judge]
    changes = {"reference": stocked["other"].pk, "judge": other.pk, "policy": stocked["policy"].pk}
    changes["reward"] = stocked["reward"].pk
    sent = filled(project, "evaluate", **changes)
    assert words in error_at(rita.post(address(project, "evaluate"), sent), "judge")


def test_without_a_judge_of_other_labels_nobody_judges(rita, project, stocked):
    stocked["judge"].delete()
    answer = rita.get(address(project, "evaluate"))
    assert answer.context["form"]["evaluate-judge"].value() == "none"


def test_an_evaluation_is_filled_from_the_run_that_made_the_model(rita, project, stocked, var):
    run = a_run(project, "pretrain")
    Run.objects.filter(pk=run.pk).update(config={"beta": 0.7, "divergence": "le_cam"})
    for role in ("reward", "policy"):
        ArtifactInput.objects.create(run=run, artifact=stocked[role], role=role)
    made = an_artifact(project, var, producer=run)
    form = rita.get(address(project, "evaluate", f"&policy={made.pk}")).context["form"]
    shown = {name: form[name].value() for name in ("policy", "reference", "reward", "judge")}
    assert shown == {
        "policy": made.pk,
        "reference": stocked["policy"].pk,
        "reward": stocked["reward"].pk,
        "judge": stocked["judge"].pk,
    }
    assert (form["evaluate-beta"].value(), form["evaluate-divergence"].value()) == (0.7, "le_cam")


def test_the_evaluation_of_another_objective_is_about_reverse_kl(rita, project, stocked, var):
    run = a_run(project, "pretrain")
    settings = {"objective": "ppo", "divergence": "jensen_shannon"}
    Run.objects.filter(pk=run.pk).update(config=settings)
    made = an_artifact(project, var, producer=run)
    form = rita.get(address(project, "evaluate", f"&policy={made.pk}")).context["form"]
    assert form["evaluate-divergence"].value() == "reverse_kl"


def test_a_reference_that_nobody_names_is_the_start_model(rita, project, stocked):
    sent = filled(project, "prefer", policy=stocked["policy"].pk)
    rita.post(address(project, "prefer"), sent)
    run = Run.objects.get(name="Mine")
    assert run.inputs.get(role="reference").artifact == stocked["policy"]


def test_a_reward_model_asks_for_a_reference_where_its_samples_are_the_zero(rita, project, stocked):
    sent = filled(project, "reward") | {"reward-centring": "reference"}
    answer = rita.post(address(project, "reward"), sent | {"reference": ""})
    assertContains(answer, "These settings need one")
    rita.post(address(project, "reward"), sent | {"reference": stocked["policy"].pk})
    run = Run.objects.get(name="Mine")
    assert run.inputs.get(role="reference").artifact == stocked["policy"]


def test_a_reward_model_may_be_measured_by_another_snapshot(rita, project, stocked, var):
    sent = filled(project, "reward") | {"reward-evaluate_on": "own", "reward-evaluate_every": "5"}
    answer = rita.post(address(project, "reward"), sent | {"evaluation": ""})
    assertContains(answer, "These settings need one")
    other = a_snapshot(project, var)
    rita.post(address(project, "reward"), sent | {"evaluation": other.artifact.pk})
    run = Run.objects.get(name="Mine")
    assert run.inputs.get(role="evaluation").artifact == other.artifact
    assert run.config["evaluate_every"] == 5


def test_an_address_names_inputs_and_settings(rita, project, stocked):
    more = f"&backbone={stocked['policy'].pk}&reward-labels=validation"
    form = rita.get(address(project, "reward", more)).context["form"]
    assert form["backbone"].value() == stocked["policy"].pk
    assert form["reward-labels"].value() == "validation"


@pytest.mark.parametrize(
    ("kind", "changes", "words"),
    [
        ("pretrain", {}, "2 layers of width 128"),
        ("sft", {}, "40 train pairs of Snapshot 1, which it sees 3 times"),
        ("prefer", {"prefer-loss": "ipo"}, "by IPO at beta 0.1"),
        ("prefer", {}, "by f-DPO (Reverse KL)"),
        ("reward", {"reward-labels": "validation"}, "the 9 validation pairs"),
        ("reward", {"reward-held_out": 0}, "starting from Other."),
        ("sft", {"sft-held_out": 0}, "which it sees 3 times."),
        ("prefer", {"prefer-held_out": 0}, "seeing them once; "),
        ("align", {"align-steps": 7}, "in 7 steps of 128 completions by Jensen-Shannon at"),
        ("align", {"align-objective": "ppo"}, "128 completions by PPO at"),
        ("generate", {"generate-labels_per_task": 2}, "a task for 2 annotators"),
        ("generate", {"generate-task": "edit"}, "tasks (Answers to edit)"),
    ],
)
def test_a_changed_form_is_summed_up_in_a_sentence(rita, project, stocked, kind, changes, words):
    sent = filled(project, kind, **changes)
    answer = rita.post(address(project, kind), sent, headers=HTMX)
    assertContains(answer, words)
    assertNotContains(answer, "<html")


def test_the_sentence_tells_time_place_and_memory_where_they_are_known(rita, project, stocked, var):
    a_worker(host="gpu-2")
    run_at(
        a_run(project, "generate", name="Earlier", inputs={"policy": stocked["policy"]}),
        state="succeeded",
        started_at="2026-01-01T10:00Z",
        ended_at="2026-01-01T10:03Z",
    )
    stocked["policy"].summary = {"memory": {"generate": 3_000_000_000}}
    stocked["policy"].save()
    tuned = a_run(project, "pretrain")
    ArtifactInput.objects.create(run=tuned, artifact=stocked["policy"], role="policy")
    child = an_artifact(project, var, producer=tuned)
    answer = rita.get(address(project, "generate", f"&policy={child.pk}"))
    for words in ("(Earlier) took 3 min 0 s", "It runs on gpu-2", "about 3.0 GB of memory"):
        assertContains(answer, words)


def test_a_judge_is_asked_for_only_where_labels_decide(project):
    fields = StartForm(kind=KINDS["evaluate"], project=project).fields
    assert fields["judge"].when == '{"evaluate-judge": ["held_out_labels"]}'
    assert fields["policy"].when == "{}"


def test_what_the_objective_does_not_read_need_not_be_sent(rita, project, stocked):
    sent = filled(project, "align", **{"align-objective": "ppo"})
    unread = {"align-divergence", "align-estimator", "align-group_scaling"}
    answer = rita.post(address(project, "align"), {name: sent[name] for name in set(sent) - unread})
    assert answer.status_code == 302, answer.context["form"].errors
    assert Run.objects.get(name="Mine").config["group_scaling"] is True


@pytest.mark.parametrize("objective", ["fdpg", "rloo", "grpo", "ppo"])
def test_each_objective_is_summed_up_by_its_name(rita, project, stocked, objective):
    sent = {"align-objective": objective, "kind": "align"}
    answer = rita.post(address(project, "align"), filled(project, "align") | sent, headers=HTMX)
    name = "Jensen-Shannon" if objective == "fdpg" else objective.upper()
    assertContains(answer, f"128 completions by {name} at beta")


@pytest.mark.twice
def test_a_class_that_was_aimed_at_is_counted_by_its_classifier(rita, project, stocked, var):
    teller = an_artifact(project, var, type=Artifact.Type.CLASSIFIER)
    read = {"policy": stocked["policy"], "reference": stocked["policy"], "classifier": teller}
    run = a_run(project, "align", {"reward_weight": 0, "class_mean": 0.5}, inputs=read)
    made = an_artifact(project, var, producer=run)
    form = rita.get(address(project, "evaluate", f"&policy={made.pk}")).context["form"]
    assert (form["classifier"].value(), form["evaluate-classes"].value()) == (teller.pk, "counted")
    sent = {one.html_name: one.value() for one in form if one.value() is not None}
    sent |= {"key": KEY, "name": "Mine", "policy": made.pk, "evaluate-classes": "none"}
    answer = rita.post(address(project, "evaluate"), sent)
    assertContains(answer, "The model was aimed at a class; count its classes")
    sent |= {"evaluate-classes": "counted", "classifier": ""}
    assert "classifier" in rita.post(address(project, "evaluate"), sent).context["form"].errors


def test_known_answers_are_asked_for_where_some_came(rita, project, stocked):
    sent = filled(project, "evaluate", **{"evaluate-known_answers": "given"})
    assertContains(
        rita.post(address(project, "evaluate"), sent), "No held-out prompt came with an answer"
    )


def test_an_alignment_looks_at_validation_prompts_where_there_are_some(rita, project, stocked):
    changes = {"evaluate_every": "5", "evaluate_on": "own", "kept": "best", "patience": "3"}
    sent = filled(project, "align", **{f"align-{name}": text for name, text in changes.items()})
    sent["reference"] = stocked["policy"].pk
    answer = rita.post(address(project, "align"), sent)
    assert "too few validation prompts" in error_at(answer, "align-evaluate_on")
    some_prompts(project, 2, split=Split.VALIDATION)
    rita.post(address(project, "align"), sent)
    config = Run.objects.get(name="Mine").config
    assert (config["evaluate_every"], config["kept"], config["patience"]) == (5, "best", 3)


def test_what_an_artifact_can_be_used_for(project, stocked):
    assert [use.query for use in uses_of(stocked["judge"])] == [
        f"?kind={kind}&reward={stocked['judge'].pk}"
        for kind in ("align", "population", "evaluate", "score", "measure")
    ]
    labels = {use.query for use in uses_of(stocked["labels"])}
    learning = {
        f"?kind={kind}&labels={stocked['labels'].pk}"
        for kind in ("sft", "prefer", "reward", "measure")
    }
    assert labels == learning | {f"?kind=classify&judged={stocked['labels'].pk}"}
    by_model = {use.query.split("&")[0] for use in uses_of(stocked["policy"])}
    assert {
        f"?kind={kind}" for kind in ("sft", "align", "quantise", "prune", "generate")
    } < by_model
    assert not {"?kind=pretrain", "?kind=import"} & by_model


RULED = {"align-reward_weight": 0, "align-more_rules": "1 words", "reward": ""}


def test_a_target_of_rules_alone_needs_no_reward_model(rita, project, stocked):
    refused = rita.post(address(project, "align"), filled(project, "align", reward=""))
    assertContains(refused, "These settings need one")
    sent = filled(project, "align", **RULED)
    answer = rita.post(address(project, "align"), sent, headers=HTMX)
    assertContains(answer, "to its rules, constraints and wished means in 40 steps")
    rita.post(address(project, "align"), sent)
    run = Run.objects.get(name="Mine")
    assert sorted(run.inputs.values_list("role", flat=True)) == ["policy", "reference"]


@pytest.mark.parametrize("weight", [0.0, 1.0])
def test_an_evaluation_asks_for_the_reward_model_that_was_aimed_at(
    rita, project, stocked, var, weight
):
    run = a_run(project, "pretrain")
    Run.objects.filter(pk=run.pk).update(config={"reward_weight": weight})
    made = an_artifact(project, var, producer=run)
    models = {"policy": made.pk, "reference": stocked["policy"].pk, "reward": ""}
    answer = rita.post(address(project, "evaluate"), filled(project, "evaluate", **models))
    if weight:
        assertContains(answer, "Choose the reward model whose score was optimised")
    else:
        started = Run.objects.get(name="Mine")
        assert "reward" not in started.inputs.values_list("role", flat=True)


TILTS = [[0.1, 0.002], [0.2, 0.04], [0.3162, 0.14], [0.631, 0.6]]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"align-beta": 0.3}, "At this beta about 14 % of answers count (effective sample size)."),
        ({"align-beta": 0.21}, "about 4 % of answers"),
        ({"align-beta": 0.21}, "Beta 0.32 leaves about 14 %; reverse KL learns from few too"),
        ({"align-beta": 0.6, "align-reward_weight": 2}, "At this beta about 14 % of"),
        ({"align-beta": 0.05, "align-reward_weight": 2}, "Beta 0.63 leaves about 14 %"),
    ],
)
def test_the_form_says_how_many_answers_a_beta_leaves(rita, project, stocked, changes, words):
    Artifact.objects.filter(pk=stocked["reward"].pk).update(summary={"ess_by_beta": TILTS})
    sent = filled(project, "align", reward=stocked["reward"].pk, **changes)
    answer = rita.post(address(project, "align"), sent, headers=HTMX)
    assertContains(answer, words)


def test_of_a_sum_with_rules_nothing_is_said(rita, project, stocked):
    Artifact.objects.filter(pk=stocked["reward"].pk).update(summary={"ess_by_beta": TILTS})
    rules = {"reward": stocked["reward"].pk, "align-more_rules": "1 words"}
    sent = filled(project, "align", **rules)
    answer = rita.post(address(project, "align"), sent, headers=HTMX)
    assertNotContains(answer, "of answers count")


SHAPE = {
    "parameters": 3_000_000_000, "layers": 40, "width": 2048, "heads": 32, "key_width": 2048,
    "vocabulary": 32_000, "context": 4096,
}  # fmt: skip


@pytest.fixture
def large(stocked):
    """The policy of a stocked project, of three billion parameters."""
    stocked["policy"].summary = {"shape": SHAPE}
    stocked["policy"].save()
    return stocked["policy"]


@cases("kind", ["sft", "prefer", "reward", "align", "population", "evaluate"], quick=["align"])
def test_a_run_that_no_worker_has_the_memory_for_is_asked_about(
    rita, project, stocked, large, kind
):
    a_worker(hardware={"memory_gib": 4})
    changes = {"reference": stocked["other"].pk} if kind == "evaluate" else {}
    start = {"backbone" if kind == "reward" else "policy": large.pk}
    sent = filled(project, kind, **changes | start)
    answer = rita.post(address(project, kind), sent)
    said = error_at(answer, "anyway")
    assert "of memory, and the largest worker has 4.3 GB. Try " in said
    assertContains(answer, 'name="anyway"')
    assert rita.post(address(project, kind), sent | {"anyway": "on"}).status_code == 302


@pytest.mark.parametrize(
    "hardware", [{}, {"memory_gib": 400}, {"memory_gib": 4, "gpus": [{"name": "H200"}]}]
)
def test_a_run_is_let_pass_where_a_worker_may_have_the_memory(rita, project, large, hardware):
    a_worker(hardware=hardware)
    sent = filled(project, "sft", policy=large.pk)
    assert rita.post(address(project, "sft"), sent).status_code == 302


GPU = {"name": "H200", "memory.total": "40960"}


@pytest.mark.parametrize(
    ("settings", "gpus", "passed"),
    [
        ({"lora_rank": 8}, 1, False),
        ({"lora_rank": 8}, 2, False),
        ({"lora_rank": 8, "placement": "spread"}, 1, False),
        ({"lora_rank": 8, "placement": "spread"}, 2, True),
    ],
)
def test_spread_over_all_gpus_a_run_needs_their_memory_together(large, settings, gpus, passed):
    a_worker(hardware={"memory_gib": 4, "gpus": [GPU] * gpus})
    config, kind = AlignConfig(**settings), KINDS["align"]
    needed = needed_memory(kind, Asked(config, {"policy": large}), Ground(large.project))
    said = too_large(needed, config, live_workers())
    assert (not said) == passed
    assert ("all devices" in said) == ("placement" not in settings)


@pytest.mark.twice
@pytest.mark.parametrize(("placement", "passed"), [("one", False), ("spread", True)])
def test_what_only_reads_may_leave_its_layers_on_the_disk(large, placement, passed):
    a_worker(hardware={"memory_gib": 4})
    config = GenerateConfig(placement=placement)
    needed = needed_memory(
        KINDS["generate"], Asked(config, {"policy": large}), Ground(large.project)
    )
    assert (not too_large(needed, config, live_workers())) == passed


def test_more_settings_take_more_memory(rita, project, large):
    small = rita.get(address(project, "sft", f"&policy={large.pk}"))
    assertContains(small, "of memory")
    lora = rita.get(address(project, "sft", f"&policy={large.pk}&sft-lora_rank=8"))
    assert said_memory(lora) < said_memory(small)


def said_memory(answer):
    return float(re.search(r"needs about ([\d.]+)\s*GB", " ".join(answer.context["outlook"]))[1])


@pytest.mark.twice
@pytest.mark.parametrize(
    ("name", "wanted", "found"), [("generate", 1, 2), ("evaluate", 2, 3), ("evaluate", 9, 8)]
)
def test_no_more_prompts_are_counted_than_a_run_wants(project, name, wanted, found):
    some_prompts(project, 3, split=Split.TRAIN)
    some_prompts(project, 8, split=Split.TEST)
    assert readable_prompts(KINDS[name], project, wanted) == found


@pytest.mark.twice
def test_no_more_prompts_are_counted_than_any_kind_needs(project):
    some_prompts(project, 30, split=Split.TRAIN)
    kinds = offered().values()
    most = max(kind.prompts.least for kind in kinds if kind.prompts)
    assert max(stock_of(Ground(project), kinds).prompts.values()) <= most + 1
    assert stock_of(Ground(project), [KINDS["reward"]]).prompts == {}  # it reads none


def test_labels_frozen_between_two_looks_are_not_missing(project, tmp_path):
    a_snapshot(project, tmp_path)
    counted_before = Stock({}, ())
    (labels,) = (
        need
        for need in needs_of(KINDS["reward"], project, counted_before)
        if need.words == "a snapshot"
    )
    assert labels.missing is None


def test_a_form_asks_for_no_more_than_it_shows(rita, project, stocked, django_assert_num_queries):
    kinds = {Artifact.Type.MODEL, Artifact.Type.REWARD, Artifact.Type.SNAPSHOT}
    assert set(project.artifacts.values_list("type", flat=True)) == kinds
    rita.get(address(project, "align"))  # whose words and rights are known from here on
    with django_assert_num_queries(13):  # of which three list what there is
        page = rita.get(address(project, "align"))
    assert page.context["form"].fields["classifier"].listed == []


def test_what_the_form_proposed_is_taken_as_it_is(project, stocked, django_assert_num_queries):
    newest = project.artifacts.models().order_by("-pk").first()
    other = project.artifacts.reward_models().first()
    field = artifact_field(KINDS["align"].input_named("policy"))
    field.offer(project.artifacts.filter(type=Artifact.Type.MODEL), "", newest)
    with django_assert_num_queries(0):
        assert field.clean(newest.pk) is newest
    field.offer(project.artifacts.filter(type=Artifact.Type.MODEL), "", other)
    with pytest.raises(ValidationError):
        field.clean(other.pk)  # of another type


@pytest.mark.twice
@cases("kind", offered(), quick=["align"])
def test_a_form_copies_its_settings_at_most_twice_a_field(
    rita, project, stocked, kind, monkeypatch
):
    made = []
    settings, validated = KINDS[kind].settings, BaseModel.__init__

    def init(config, **values):
        made.append(type(config))
        validated(config, **values)

    monkeypatch.setattr(BaseModel, "__init__", init)
    for name in ("model_copy", "model_validate", "model_construct"):
        plain = getattr(BaseModel, name)
        monkeypatch.setattr(BaseModel, name, noted(made, plain))
    assert rita.get(address(project, kind)).status_code == 200
    copies = sum(1 for config in made if config is settings)
    assert 0 < copies <= 6


def noted(made, plain):
    """A method of a config that also notes that one more was made."""
    if isinstance(plain, MethodType):
        called = plain.__func__
        return classmethod(lambda cls, *a, **k: (made.append(cls), called(cls, *a, **k))[1])
    return lambda config, *a, **k: (made.append(type(config)), plain(config, *a, **k))[1]
