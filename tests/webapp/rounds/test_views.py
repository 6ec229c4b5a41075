import pytest
from django.urls import reverse
from pytest_django.asserts import assertContains, assertNotContains, assertRedirects

from alignment.kinds.settings.divergences import DivergenceName
from tests.cases import cases
from tests.factories import a_project, a_prompt, a_user, an_artifact, run_at, some_scores
from tests.webapp.rounds.test_forms import sent
from tests.webapp.runs.test_evaluations import summary
from webapp.rounds.models import Round
from webapp.rounds.services import start_round
from webapp.runs.models import State

pytestmark = pytest.mark.once

HTMX = {"HX-Request": "true"}


@pytest.fixture
def rita(client, researcher):
    client.force_login(researcher)
    return client


@pytest.fixture
def launch(project):
    return reverse("rounds:launch", args=[project.pk])


@pytest.fixture
def page(project, a_round):
    return reverse("rounds:detail", args=[project.pk, a_round.pk])


def posted(project, ready, **changes):
    return sent(project, ready, **changes).data


def part(made, name):
    return made.parts.get(part=name).run


def evaluated(made, folder, **found):
    """The round as it is once its evaluation has come out."""
    made.runs.update(state=State.SUCCEEDED)
    run = run_at(part(made, "evaluate"), summary=summary(**found))
    some_scores(run, folder)
    return made


def test_results_tell_the_alignment_s_receipts(rita, a_round, page, var):
    evaluated(a_round, var)
    found = {"gradient": 2e-15, "total": 1e-16, "mismatch": 0.5}
    run_at(part(a_round, "align"), summary={"receipts": found})
    assertContains(rita.get(page), "sampler and scorer do not agree: they differ by 5e-01")


@pytest.mark.twice
@pytest.mark.parametrize("name", ["list", "launch"])
def test_an_annotator_does_not_find_the_pages_of_rounds(client, project, annotator, name):
    client.force_login(annotator)
    assert client.get(reverse(f"rounds:{name}", args=[project.pk])).status_code == 404


def test_a_round_of_another_project_is_not_found(client, page, a_round):
    other = a_project()
    client.force_login(a_user(other))
    assert client.get(page).status_code == 404
    borrowed = reverse("rounds:detail", args=[other.pk, a_round.pk])
    assert client.get(borrowed).status_code == 404


@pytest.mark.twice
@pytest.mark.parametrize("name", ["cancel", "retry"])
def test_changing_a_round_needs_a_researcher(client, project, a_round, annotator, name):
    client.force_login(annotator)
    url = reverse(f"rounds:{name}", args=[project.pk, a_round.pk])
    assert client.post(url).status_code == 404
    assert a_round.runs.filter(state=State.QUEUED).count() == 5


def test_a_visitor_is_asked_to_log_in(client, project):
    assertRedirects(
        client.get(reverse("rounds:list", args=[project.pk])),
        f"/accounts/login/?next=/p/{project.pk}/rounds/",
        fetch_redirect_response=False,
    )


def test_the_empty_list_names_the_first_missing_thing(rita, project):
    url = reverse("rounds:list", args=[project.pk])
    assertContains(rita.get(url), "Add prompts")
    a_prompt(project, split="train")
    assertContains(rita.get(url), "Train the starter model")


def test_with_a_model_but_no_answers_the_model_is_asked_to_write(rita, project, prompts, policy):
    answer = rita.get(reverse("rounds:list", args=[project.pk]))
    assertContains(answer, "runs/start/?kind=generate")


def test_a_ready_project_is_invited_to_its_first_round(rita, project, ready, launch):
    assertContains(rita.get(reverse("rounds:list", args=[project.pk])), f'href="{launch}"')


def test_the_list_shows_what_a_round_found(rita, project, a_round, var):
    evaluated(a_round, var)
    answer = rita.get(reverse("rounds:list", args=[project.pk]))
    assertContains(answer, "71 % ± 4")
    assertContains(answer, "Better")


@pytest.mark.twice
def test_the_list_takes_the_same_queries_for_any_number_of_rounds(
    rita, project, ready, a_round, django_assert_num_queries, django_assert_max_num_queries
):
    url = reverse("rounds:list", args=[project.pk])
    with django_assert_max_num_queries(20) as first:
        rita.get(url)
    for key in "bcd":
        start_round(**ready, key=key)
    with django_assert_num_queries(len(first)):
        rita.get(url)


def test_launching_by_the_form_starts_the_round(rita, project, ready, launch):
    answer = rita.post(launch, posted(project, ready))
    made = Round.objects.get()
    assertRedirects(answer, reverse("rounds:detail", args=[project.pk, made.pk]))
    assert made.config["align"]["steps"] == 20


@cases("name", DivergenceName.__args__, quick=["reverse_kl", "forward_kl"])
def test_every_divergence_is_launched_by_the_form(rita, project, ready, launch, name):
    order = {"align-alpha": "0.75"} if name == "alpha" else {}  # else its field is not sent
    rita.post(launch, posted(project, ready, **{"align-divergence": name}, **order))
    runs = {part.part: part.run.config for part in Round.objects.get().parts.all()}
    told = [(config["divergence"], config["alpha"]) for config in (runs["align"], runs["evaluate"])]
    assert told == [(name, 0.75 if order else 0.5)] * 2


@pytest.mark.twice
def test_sending_the_form_twice_starts_one_round(rita, project, ready, launch):
    for _ in range(2):
        rita.post(launch, posted(project, ready))
    assert Round.objects.count() == 1


def test_a_wrong_setting_comes_back_beside_its_field_and_starts_nothing(
    rita, project, ready, launch
):
    answer = rita.post(launch, posted(project, ready, **{"align-beta": "0"}))
    assertContains(answer, "greater than 0")
    assert not Round.objects.exists()


def test_a_refusal_is_told_in_the_form(rita, project, ready, launch):
    ready["snapshot"].manifest = {"pairs": {"train": 3}}
    ready["snapshot"].save()
    assertContains(rita.post(launch, posted(project, ready)), "3 usable pairs")


def test_a_preset_fills_the_form(rita, ready, launch):
    field = '<input type="number" name="align-steps" value="200"'
    assertContains(rita.get(f"{launch}?preset=thorough"), field)


def test_again_repeats_the_settings_of_a_round(rita, project, ready, launch):
    form = sent(project, ready, **{"align-steps": "33"})
    assert form.is_valid()
    made = start_round(**ready | {"config": form.config}, key="k")
    assertContains(rita.get(f"{launch}?from={made.pk}"), 'name="align-steps" value="33"')


def test_another_preset_for_a_round_again_is_still_for_that_round(rita, a_round, launch):
    assertContains(
        rita.get(f"{launch}?from={a_round.pk}"), f'href="?preset=quick&amp;from={a_round.pk}"'
    )
    assertContains(rita.get(launch), 'href="?preset=quick"')


def test_a_chain_points_at_its_part_while_something_may_change(rita, a_round, page):
    assertContains(rita.get(page), "data-now", count=1)
    a_round.runs.update(state="cancelled")
    assertNotContains(rita.get(page), "data-now")


def test_settings_that_this_version_does_not_take_are_named(rita, project, ready, launch):
    rita.post(launch, posted(project, ready))
    made = Round.objects.get()
    made.config["align"]["soften"] = 0.5
    made.save()
    answer = rita.get(f"{launch}?from={made.pk}")
    assertContains(answer, "was set up by another version of Attune, whose settings differ (align)")


@pytest.mark.twice
def test_a_number_that_no_round_has_is_no_error(rita, project):
    url = reverse("rounds:compare", args=[project.pk])
    assert rita.get(url, {"round": ["9" * 30, "1"]}).status_code == 200


@pytest.mark.twice
def test_again_goes_on_from_a_better_policy(rita, a_round, launch, var):
    evaluated(a_round, var)
    better = an_artifact(a_round.project, var, name="aligned", producer=part(a_round, "align"))
    assertContains(rita.get(f"{launch}?from={a_round.pk}"), f'value="{better.pk}" selected')


def test_the_form_says_what_will_happen(rita, ready, launch):
    answer = rita.get(launch)
    assertContains(answer, "from the 40 training pairs of Snapshot 1")
    assertContains(answer, "No worker is running")


def test_the_memory_of_an_added_model_is_told_before_the_round(rita, project, ready, launch, var):
    needed = {"align": 6_100_000_000, "reward": 9_200_000_000}
    model = an_artifact(project, var, summary={"memory": needed})
    response = rita.get(launch, {"policy": model.pk})
    assertContains(response, "about 9.2 GB of memory")


def test_the_reward_model_starts_from_the_chosen_backbone(rita, project, ready, launch, var):
    larger = an_artifact(project, var, name="larger")
    rita.post(launch, posted(project, ready, backbone=larger.pk))
    reward = part(project.rounds.get(), "reward")
    assert reward.inputs.get(role="backbone").artifact == larger
    again = rita.get(launch, {"from": project.rounds.get().pk})
    assert again.context["form"].initial["backbone"] == larger


def test_a_changed_form_gets_only_its_new_sentence(rita, project, ready, launch):
    answer = rita.post(launch, posted(project, ready, **{"align-steps": "44"}), headers=HTMX)
    assertContains(answer, "in 44 steps")
    assertNotContains(answer, "<html")


def test_without_labels_there_is_no_form_but_the_way_to_it(rita, project, launch, prompts):
    answer = rita.get(launch)
    assertContains(answer, "Train the starter model")
    assertNotContains(answer, "Start the round")


def test_a_round_shows_how_far_the_phase_of_its_part_is(rita, a_round, page):
    counted = {"phase_done": 64.0, "phase_total": 256.0, "phase_unit": "completions"}
    run = part(a_round, "generate")
    run_at(run, state=State.RUNNING, phase="sampling", phase_seconds=10.0, **counted)
    answer = rita.get(page)
    assertContains(answer, "64 of 256 completions")
    left = f"{run.parts.get().get_part_display()}: about 30 s left."
    assertContains(answer, left)
    run_at(run, total_steps=9)  # of which the phase says nothing
    assertNotContains(rita.get(page), left)


def test_a_running_round_polls_itself(rita, page):
    assertContains(rita.get(page), 'hx-trigger="every 2s"')


def test_a_poll_gets_only_the_live_part(rita, page):
    answer = rita.get(f"{page}?seen=on-open", headers=HTMX)
    assertContains(answer, 'hx-trigger="every 2s"')
    assertNotContains(answer, "<html")
    assert "HX-Refresh" not in answer.headers


def test_polling_ends_with_the_round_and_brings_the_results(rita, page, a_round, var):
    evaluated(a_round, var)
    answer = rita.get(f"{page}?seen=on-open", headers=HTMX)
    assertNotContains(answer, "hx-trigger")
    assert answer.headers["HX-Refresh"] == "true"
    assertNotContains(rita.get(page), "hx-trigger")


def test_a_finished_round_shows_its_verdict_and_samples_by_gain(rita, page, a_round, var):
    evaluated(a_round, var)
    text = rita.get(page).content.decode()
    assert "it wins 71 % ± 4 of 154 held-out prompts" in text
    assert text.index("A large one") < text.index("A small one")
    worst = rita.get(f"{page}?order=loss").content.decode()
    assert worst.index("A small one") < worst.index("A large one")


@pytest.mark.twice
def test_completions_are_hostile_text(rita, page, a_round, var):
    evaluated(a_round, var)
    assertNotContains(rita.get(page), "<script>alert(1)</script>")


def test_a_failed_round_says_which_part_and_why(rita, page, a_round):
    run_at(part(a_round, "align"), state=State.FAILED, message="The loss was nan at step 12.")
    assertContains(rita.get(page), "Alignment failed: The loss was nan at step 12.")


def test_cancelling_needs_no_script(rita, page, project, a_round):
    url = reverse("rounds:cancel", args=[project.pk, a_round.pk])
    assertRedirects(rita.post(url), page)
    assert a_round.runs.filter(state=State.CANCELLED).count() == 5


def test_cancelling_what_is_over_is_refused_in_words(rita, project, a_round):
    a_round.runs.update(state=State.SUCCEEDED)
    url = reverse("rounds:cancel", args=[project.pk, a_round.pk])
    assertContains(rita.post(url, follow=True), "over already")


def test_a_failed_round_can_be_tried_again_from_its_page(rita, page, project, a_round):
    a_round.runs.update(state=State.FAILED)
    assertContains(rita.get(page), "Try the rest again")
    assertRedirects(rita.post(reverse("rounds:retry", args=[project.pk, a_round.pk])), page)
    assert a_round.runs.filter(state=State.QUEUED).count() == 5
