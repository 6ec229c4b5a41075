import pytest

from alignment.kinds import KINDS
from tests.factories import a_project, a_user, again, an_artifact, run_at
from tests.webapp.rounds.conftest import a_snapshot
from webapp.artifacts.models import ArtifactInput
from webapp.rounds.config import PRESETS, RoundConfig
from webapp.rounds.forms import FIXED
from webapp.rounds.queries import own_backbone
from webapp.rounds.services import RoundError, cancel_round, retry_round, start_round
from webapp.runs.models import State

pytestmark = pytest.mark.once


def chain(made):
    """Each part's kind, what it needs and what it reads, by role."""
    return {
        part.part: (
            part.run.kind,
            {need.role: need.needs.parts.get().part for need in part.run.needs.all()},
            {row.role: row.artifact.name for row in part.run.inputs.all()},
        )
        for part in made.parts.all()
    }


def test_a_round_is_five_runs_each_naming_what_it_needs(a_round):
    learning = {"backbone": "starter", "labels": "S1"}
    assert chain(a_round) == {
        "reward": ("reward", {}, learning),
        "judge": ("reward", {}, learning),
        "align": ("align", {"reward": "reward"}, {"policy": "starter", "reference": "starter"}),
        "evaluate": (
            "evaluate",
            {"policy": "align", "reward": "reward", "judge": "judge"},
            {"reference": "starter"},
        ),
        "generate": ("generate", {"policy": "align"}, {}),
    }


@pytest.mark.twice
def test_the_judge_learns_from_other_labels_than_the_reward(a_round):
    labels = {part.part: part.run.config.get("labels") for part in a_round.parts.all()}
    assert (labels["reward"], labels["judge"]) == ("train", "validation")


def test_reward_and_judge_may_be_centred_on_the_start_model_s_samples(project, ready):
    config = RoundConfig.model_validate({"reward": {"centring": "reference"}})
    found = chain(start_round(**ready | {"config": config}, key="k"))
    learning = {"backbone": "starter", "labels": "S1", "reference": "starter"}
    assert found["reward"] == found["judge"] == ("reward", {}, learning)


def test_the_round_s_own_reward_model_keeps_the_best_new_completions(project, ready):
    config = RoundConfig.model_validate({"generate": {"kept": "best"}})
    found = chain(start_round(**ready | {"config": config}, key="k"))
    assert found["generate"] == ("generate", {"policy": "align", "reward": "reward"}, {})


def test_caution_is_for_what_is_optimised_and_not_for_its_judge(project, ready):
    config = RoundConfig.model_validate({"reward": {"heads": 4, "caution": 1.0}})
    made = start_round(**ready | {"config": config}, key="k")
    told = {part.part: part.run.config for part in made.parts.all()}
    assert (told["reward"]["caution"], told["judge"]["caution"]) == (1.0, 0.0)
    assert told["judge"]["heads"] == 4


@pytest.mark.parametrize("judge", ["utility", "none"])
def test_only_held_out_labels_need_a_judge_of_their_own(project, ready, judge):
    config = RoundConfig.model_validate({"evaluate": {"judge": judge}})
    made = start_round(**ready | {"config": config}, key="k")
    assert "judge" not in chain(made)
    assert chain(made)["evaluate"][1] == {"policy": "align", "reward": "reward"}


def test_the_evaluation_measures_against_the_target_that_was_aimed_at(project, ready):
    aim = {"beta": 0.2, "divergence": "reverse_kl"}
    config = RoundConfig.model_validate({"align": aim})
    made = start_round(**ready | {"config": config}, key="k")
    told = made.parts.get(part="evaluate").run.config
    assert {name: told[name] for name in aim} == aim


def test_an_evaluation_after_ppo_measures_reverse_kl(project, ready):
    config = RoundConfig.model_validate({"align": {"objective": "ppo"}})
    made = start_round(**ready | {"config": config}, key="k")
    assert made.parts.get(part="evaluate").run.config["divergence"] == "reverse_kl"


def read_by_choice():
    """What a part of a round reads where a setting that its form offers says so: section, role, settings."""
    for section, fixed in FIXED.items():
        for one in KINDS[section].artifacts if section in KINDS else ():
            said = {name: values[0] for name, values in one.when.items()}
            said |= dict.fromkeys(one.beside[:1], 0.5)
            if said and not {*said} & {*fixed}:
                yield section, one.role, said


@pytest.mark.parametrize(("section", "role", "said"), read_by_choice())
def test_whatever_a_part_reads_by_choice_the_round_gives_it(project, ready, section, role, said):
    config = RoundConfig.model_validate({section: said})
    _kind, needs, inputs = chain(start_round(**ready | {"config": config}, key="k"))[section]
    assert role in needs | inputs


@pytest.mark.parametrize(
    ("said", "role"),
    [({"demonstration_weight": 0.5}, "labels"), ({"preference_weight": 0.5}, "preferences")],
)
def test_what_has_a_weight_is_learned_from_the_round_s_own_labels(project, ready, said, role):
    config = RoundConfig.model_validate({"align": said})
    made = start_round(**ready | {"config": config}, key="k")
    read = {"policy": "starter", "reference": "starter", role: "S1"}
    assert chain(made)["align"] == ("align", {"reward": "reward"}, read)


@pytest.mark.twice
def test_the_same_key_starts_one_round(project, ready, a_round):
    assert start_round(**ready, key="first") == a_round
    assert project.runs.count() == 5


def test_another_key_starts_the_next_round(project, ready, a_round):
    assert start_round(**ready, key="second").number == a_round.number + 1


def test_the_seed_reaches_every_run(project, ready):
    config = PRESETS["quick"].config.model_copy(update={"seed": 7})
    made = start_round(**ready | {"config": config}, key="k")
    assert set(made.runs.values_list("seed", flat=True)) == {7}


@pytest.mark.parametrize(
    ("pairs", "words"),
    [
        ({"train": 15, "validation": 9}, "15 usable pairs in the train split"),
        ({"train": 40, "validation": 7}, "choose another judge"),
        ({}, "Collect more labels"),
    ],
)
def test_too_few_pairs_are_refused_with_a_way_out(project, ready, var, pairs, words):
    with pytest.raises(RoundError, match=words):
        start_round(**ready | {"snapshot": a_snapshot(project, var, pairs)}, key="k")
    assert not project.runs.exists()


def test_few_validation_pairs_matter_only_to_a_judge_of_them(project, ready, var):
    few = a_snapshot(project, var, {"train": 16})
    config = RoundConfig.model_validate({"evaluate": {"judge": "none"}})
    assert start_round(**ready | {"snapshot": few, "config": config}, key="k").number == 1


def test_a_project_without_test_prompts_cannot_be_evaluated(project, ready):
    project.prompts.filter(split="test").first().delete()
    with pytest.raises(RoundError, match="7 prompts in the test split"):
        start_round(**ready, key="k")


def test_a_model_of_another_project_is_refused(project, ready, var):
    foreign = an_artifact(a_project(), var)
    with pytest.raises(RoundError, match="belong to this project"):
        start_round(**ready | {"policy": foreign}, key="k")


@pytest.mark.parametrize("way", ["as_it_is", "quantise", "prune", "factorise", "distil"])
def test_an_encoder_decoder_is_aligned_and_made_smaller_by_no_kind_that_takes_none(
    project, ready, var, way
):
    t5 = an_artifact(project, var)
    (t5.path / "config.json").write_text('{"model_type": "t5"}')
    config = RoundConfig.model_validate({"smaller": {"way": way}})
    if way == "as_it_is":
        assert start_round(**ready | {"policy": t5, "config": config}, key="k").policy == t5
        return
    with pytest.raises(RoundError, match=f"“{KINDS[way].title}” takes no encoder-decoder"):
        start_round(**ready | {"policy": t5, "config": config}, key="k")


def test_cancelling_a_round_cancels_what_is_not_over(a_round, researcher):
    done = run_at(a_round.parts.get(part="reward").run, state=State.SUCCEEDED)
    assert cancel_round(a_round, by=researcher) == 4
    assert again(done).state == State.SUCCEEDED
    assert a_round.runs.filter(state=State.CANCELLED).count() == 4


def test_a_round_that_is_over_cannot_be_cancelled(a_round):
    a_round.runs.update(state=State.SUCCEEDED)
    with pytest.raises(RoundError, match="over already"):
        cancel_round(a_round, by=a_user())


@pytest.fixture
def broken(a_round):
    """The round after its alignment failed and took the rest with it."""
    a_round.runs.filter(kind="reward").update(state=State.SUCCEEDED)
    a_round.runs.filter(kind="align").update(state=State.FAILED)
    a_round.runs.filter(kind__in=["evaluate", "generate"]).update(state=State.CANCELLED)
    return a_round


def test_trying_a_round_again_makes_only_the_broken_parts_anew(broken, researcher):
    whole = chain(broken)
    kept = broken.parts.get(part="reward").run
    assert retry_round(broken, by=researcher) == 3
    assert broken.parts.get(part="reward").run == kept
    assert chain(broken).keys() == whole.keys()
    assert set(broken.runs.exclude(kind="reward").values_list("state", flat=True)) == {"queued"}


def test_the_new_parts_need_each_other_and_not_the_broken_ones(broken, researcher):
    retry_round(broken, by=researcher)
    runs = {row.part: row.run for row in broken.parts.all()}
    needs = {need.role: need.needs for need in runs["evaluate"].needs.all()}
    assert needs == {"policy": runs["align"], "reward": runs["reward"], "judge": runs["judge"]}


def test_a_round_at_work_is_not_tried_again(a_round, researcher):
    with pytest.raises(RoundError, match="still at work"):
        retry_round(a_round, by=researcher)


def test_a_round_that_succeeded_has_nothing_to_try_again(a_round, researcher):
    a_round.runs.update(state=State.SUCCEEDED)
    with pytest.raises(RoundError, match="Everything in Round 1 succeeded"):
        retry_round(a_round, by=researcher)


@pytest.mark.twice
def test_reward_model_and_judge_may_start_from_another_model(project, ready, var):
    larger = an_artifact(project, var, name="larger")
    made = start_round(**ready, backbone=larger, key="other")
    backbones = ArtifactInput.objects.filter(run__parts__round=made, role="backbone")
    assert {row.artifact for row in backbones} == {larger}
    assert backbones.count() == 2
    assert own_backbone(made) == larger


def test_a_round_that_learns_from_its_policy_has_no_backbone_of_its_own(a_round):
    assert own_backbone(a_round) is None


@pytest.mark.parametrize("way", ["quantise", "prune", "factorise"])
def test_a_policy_may_be_made_smaller_healed_and_evaluated_as_it_is_served(project, ready, way):
    config = RoundConfig.model_validate({"smaller": {"way": way}, "evaluate": {"judge": "utility"}})
    made = start_round(**ready | {"config": config}, key="k")
    found = chain(made)
    assert found["shrink"] == (way, {}, {"policy": "starter"})
    assert found["align"] == (
        "align",
        {"policy": "shrink", "reward": "reward"},
        {"reference": "starter"},
    )
    assert found["serve"] == (way, {"policy": "align"}, {})
    assert found["evaluate"][1] == {"policy": "serve", "reward": "reward"}
    assert found["evaluate"][2] == {"reference": "starter"}
    assert found["generate"][1] == {"policy": "serve"}
    assert made.parts.get(part="shrink").run.config["judge"] == "utility"


def test_a_student_is_served_as_it_was_healed(project, ready):
    smaller = {"way": "distil", "layers": 1, "steps": 7}
    config = RoundConfig.model_validate({"smaller": smaller})
    made = start_round(**ready | {"config": config}, key="k")
    found = chain(made)
    assert "serve" not in found
    assert found["align"][1] == {"policy": "shrink", "reward": "reward"}
    assert found["evaluate"][1]["policy"] == found["generate"][1]["policy"] == "align"
    told = made.parts.get(part="shrink").run.config
    assert {name: told[name] for name in ("layers", "steps")} == {"layers": 1, "steps": 7}
    assert told["judge"] == "none"  # who learns from held-out labels is not there yet
    assert told["max_new_tokens"] == config.evaluate.max_new_tokens


def test_settings_of_another_way_are_refused():
    with pytest.raises(ValueError, match="does not read"):
        RoundConfig.model_validate({"smaller": {"way": "prune", "share": 0.3}})


def test_a_smaller_round_that_broke_is_tried_again_from_where_it_broke(project, ready, researcher):
    config = RoundConfig.model_validate({"smaller": {"way": "prune"}})
    made = start_round(**ready | {"config": config}, key="k")
    made.runs.filter(kind="reward").update(state=State.SUCCEEDED)
    made.runs.filter(parts__part="shrink").update(state=State.FAILED)
    made.runs.exclude(state__in=[State.SUCCEEDED, State.FAILED]).update(state=State.CANCELLED)
    whole = chain(made)
    assert retry_round(made, by=researcher) == 5
    assert chain(made).keys() == whole.keys()
    runs = {row.part: row.run for row in made.parts.all()}
    needs = {need.role: need.needs for need in runs["serve"].needs.all()}
    assert needs == {"policy": runs["align"]}
