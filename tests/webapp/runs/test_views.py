import csv
import io

import pytest
from django.urls import reverse
from django.utils import timezone
from pytest_django.asserts import assertContains, assertNotContains, assertRedirects

from tests.factories import (
    a_project,
    a_run,
    a_user,
    a_worker,
    again,
    an_artifact,
    run_at,
    some_scores,
)
from tests.webapp.runs.test_evaluations import summary
from webapp.accounts.roles import Role
from webapp.results import queries
from webapp.runs import points
from webapp.runs.folders import folder_of
from webapp.runs.models import Checkpoint, Run, RunMetric, RunSample, State

pytestmark = pytest.mark.once

HTMX = {"HX-Request": "true"}


@pytest.fixture
def rita(client, researcher):
    client.force_login(researcher)
    return client


@pytest.fixture
def run(project):
    return a_run(project, name="The run")


def address(name, run, *more):
    return reverse(f"runs:{name}", args=[run.project_id, run.pk, *more])


def record(run, **values):
    """One value of each step from 1, under its metric's key."""
    rows = [
        RunMetric(run=run, key=key, step=step, epoch=run.epoch, value=value)
        for key, line in values.items()
        for step, value in enumerate(line, start=1)
    ]
    RunMetric.objects.bulk_create(rows)
    return run_at(run, step=max(len(line) for line in values.values()))


@pytest.mark.parametrize("name", ["detail", "metrics", "metrics_csv", "log", "evaluated"])
def test_a_run_of_another_project_is_not_found(rita, db, name):
    foreign = a_run(a_project())
    assert rita.get(address(name, foreign)).status_code == 404


def test_an_annotator_does_not_find_the_runs(client, project):
    client.force_login(a_user(project, role=Role.ANNOTATOR))
    assert client.get(reverse("runs:list", args=[project.pk])).status_code == 404


def test_nobody_acts_on_a_run_of_another_project(rita, db):
    foreign = a_run(a_project())
    assert rita.post(address("act", foreign, "cancel")).status_code == 404
    assert again(foreign).state == State.QUEUED


def test_an_unknown_action_is_not_found(rita, run):
    assert rita.post(address("act", run, "explode")).status_code == 404


def test_acting_needs_a_post(rita, run):
    assert rita.get(address("act", run, "cancel")).status_code == 405


def test_an_empty_list_leads_to_the_starter_model(rita, project):
    answer = rita.get(reverse("runs:list", args=[project.pk]))
    assertContains(answer, "Train the starter model")
    assertContains(answer, "No worker has been seen")


def test_the_list_says_why_each_run_waits(rita, project, run):
    a_run(project, needs={"after": run})
    answer = rita.get(reverse("runs:list", args=[project.pk]))
    assertContains(answer, "No worker is running")
    assertContains(answer, "Waits for The run")


def test_the_list_shows_workers_with_their_hardware(rita, project):
    gpus = [{"name": "A100"}]
    a_worker(host="gpu-2", hardware={"cores": 32, "memory_gib": 251.5, "gpus": gpus})
    answer = rita.get(reverse("runs:list", args=[project.pk]))
    assertContains(answer, "32 cores, 252 GiB, A100")


def test_a_poll_of_the_queue_gets_only_the_queue(rita, project, run):
    answer = rita.get(reverse("runs:list", args=[project.pk]), headers=HTMX)
    assertContains(answer, "The run")
    assertNotContains(answer, "<html")


@pytest.mark.twice
def test_the_list_takes_the_same_queries_for_any_number_of_runs(
    rita, project, run, django_assert_num_queries, django_assert_max_num_queries
):
    url = reverse("runs:list", args=[project.pk])
    run_at(a_run(project), state=State.SUCCEEDED)
    with django_assert_max_num_queries(25) as first:
        rita.get(url)
    for _ in range(4):
        a_run(project, needs={"after": run})
        run_at(a_run(project), state=State.SUCCEEDED)
    with django_assert_num_queries(len(first)):
        rita.get(url)


@pytest.mark.twice
def test_finished_runs_come_in_pages(rita, project, run):
    Run.objects.bulk_create(
        Run(project=project, kind="pretrain", name=f"n{number}", config={}, config_hash="",
            state=State.SUCCEEDED, idempotency_key=f"k{number}", ended_at=timezone.now())
        for number in range(51)
    )  # fmt: skip
    url = reverse("runs:list", args=[project.pk])
    first = rita.get(url)
    assertContains(first, 'rel="next"')
    assertContains(rita.get(f"{url}?after={first.context['page'].after}"), ">n0<")


@pytest.mark.parametrize("state", [State.QUEUED, State.RUNNING, State.INTERRUPTED])
def test_a_run_that_is_not_over_refreshes_itself(rita, run, state):
    run_at(run, state=state)
    assertContains(rita.get(address("detail", run)), 'hx-trigger="every 2s"')


@pytest.mark.parametrize("state", [State.SUCCEEDED, State.FAILED, State.CANCELLED])
def test_polling_ends_with_the_run(rita, run, state):
    run_at(run, state=state)
    assertNotContains(rita.get(address("detail", run)), "hx-trigger")
    poll = rita.get(address("detail", run), headers=HTMX)
    assertNotContains(poll, "hx-trigger")
    assert poll.headers["HX-Refresh"] == "true"


def test_a_poll_gets_only_the_state(rita, run):
    poll = rita.get(address("detail", run), headers=HTMX)
    assertContains(poll, "No worker is running")
    assertNotContains(poll, "<html")
    assert "HX-Refresh" not in poll.headers


@pytest.mark.parametrize(
    ("state", "titles"),
    [
        (State.QUEUED, {"Pause", "Cancel"}),
        (State.RUNNING, {"Cancel"}),
        (State.INTERRUPTED, {"Resume", "Cancel"}),
        (State.FAILED, {"Try again"}),
        (State.SUCCEEDED, set()),
    ],
)
def test_the_buttons_are_those_that_make_sense(rita, run, state, titles):
    run_at(run, state=state)
    shown = rita.get(address("detail", run)).content.decode()
    every = {"Pause", "Cancel", "Resume", "Try again"}
    assert {title for title in every if f">{title}</button>" in shown} == titles


@pytest.mark.parametrize(
    ("before", "action", "after"),
    [
        (State.QUEUED, "cancel", State.CANCELLED),
        (State.QUEUED, "pause", State.INTERRUPTED),
        (State.INTERRUPTED, "resume", State.QUEUED),
        (State.RUNNING, "cancel", State.STOPPING),
    ],
)
def test_a_button_does_what_it_says(rita, run, before, action, after):
    run_at(run, state=before)
    assertRedirects(rita.post(address("act", run, action)), address("detail", run))
    assert again(run).state == after


def test_trying_again_leads_to_the_new_run(rita, run):
    run_at(run, state=State.FAILED)
    answer = rita.post(address("act", run, "retry"))
    assertRedirects(answer, address("detail", run.again.get()))


def test_what_is_refused_is_said(rita, run):
    run_at(run, state=State.SUCCEEDED)
    answer = rita.post(address("act", run, "resume"), follow=True)
    assertContains(answer, "only a paused or interrupted run can be resumed")


def test_a_failed_run_says_what_to_try(rita, run):
    run_at(run, state=State.FAILED, message="The loss was nan at step 12; try a lower rate.")
    assertContains(rita.get(address("detail", run)), "try a lower rate")


def test_the_page_shows_what_the_run_was_told_and_made_of(rita, project, run, var):
    Checkpoint.objects.create(
        run=run, epoch=1, step=7, path="x", manifest_sha256="ab" * 32, bytes=9
    )
    an_artifact(project, var, name="The starter", producer=run)
    answer = rita.get(address("detail", run))
    for words in ("Context length", "The starter", "abababababababab", run.config_hash):
        assertContains(answer, words)


def test_a_changed_model_s_page_says_in_one_sentence_what_it_costs_and_saves(rita, run):
    kl = {"value": 0.005, "low": 0.004, "high": 0.006, "n": 64, "unit": "nats"}
    faster, words = kl | {"value": 1.5, "unit": ""}, kl | {"value": -0.001, "unit": ""}
    summary = {"kl_token": kl, "perplexity_change": words, "speedup": faster, "bytes_ratio": 0.4}
    run_at(run, kind="quantise", config={}, state=State.SUCCEEDED, summary=summary)
    said = "It costs 0.0050 (0.0040 … 0.0060) nats a token of KL from the original"
    answer = rita.get(address("detail", run))
    assertContains(answer, said)
    assertContains(answer, "it saves 60 % of the bytes on disk")


def test_a_finished_run_shows_what_it_found(rita, run):
    accuracy = {"value": 0.8, "low": 0.7, "high": 0.9, "n": 40, "unit": "share"}
    run_at(run, state=State.SUCCEEDED, summary={"accuracy": accuracy, "cached": True})
    answer = rita.get(address("detail", run))
    assertContains(answer, "0.80 ± 0.10")
    assertContains(answer, '<dt>Cached</dt><dd class="num">yes</dd>', html=True)


@pytest.mark.twice
@pytest.mark.parametrize("state", [State.RUNNING, State.SUCCEEDED, State.FAILED])
def test_rows_that_are_too_long_are_said(rita, run, state):
    row = {"role": "prompts", "read": 48, "cut": 0, "dropped": 1, "limit": "a context of 32 tokens"}
    run_at(run, state=state, summary={"rows": [row, row | {"role": "deployment", "dropped": 0}]})
    answer = rita.get(address("detail", run))
    assertContains(answer, "Prompts: 48 read, 1 dropped, as too long for a context of 32 tokens.")
    assertNotContains(answer, "eployment: 48 read")


RECEIPTS = {"gradient": 3e-15, "total": 1e-16, "mismatch": 2e-6}


@pytest.mark.parametrize("state", [State.RUNNING, State.SUCCEEDED, State.FAILED])
def test_receipts_are_one_line_in_green(rita, run, state):
    run_at(run, state=state, summary={"receipts": RECEIPTS})
    answer = rita.get(address("detail", run))
    assertContains(answer, "Exact to 3e-15 on a toy", count=1)
    assertContains(answer, "sampler and scorer agree to 2e-06")
    assertContains(answer, 'data-kind="success"')
    assertNotContains(answer, "Do not trust")


@pytest.mark.parametrize("wrong", [{"gradient": 0.3}, {"total": 0.5}, {"mismatch": 0.2}])
def test_receipts_turn_red(rita, run, wrong):
    run_at(run, state=State.RUNNING, summary={"receipts": RECEIPTS | wrong})
    answer = rita.get(address("detail", run), headers=HTMX)
    assertContains(answer, "Do not trust this result")
    assertContains(answer, 'data-kind="error"')


def test_samples_stand_side_by_side_and_run_nothing(rita, run):
    place = {"run": run, "epoch": 1, "prompt_key": "k", "prompt": "Why?"}
    RunSample.objects.create(**place, step=0, stage="before", completion="<img src=x onerror=a()>")
    RunSample.objects.create(**place, step=9, stage="after", completion="**Because.**", reward=1.5)
    answer = rita.get(address("detail", run))
    assertContains(answer, "<strong>Because.</strong>")
    assertNotContains(answer, "<img")


def test_curves_have_a_table_that_needs_no_script(rita, run):
    record(run, loss=[3.25, 2.125])
    assertContains(rita.get(address("detail", run)), '<td class="num">2.125</td>', html=True)


@pytest.mark.twice
def test_metrics_come_whole_first_then_only_what_is_new(rita, run):
    run = record(run_at(run, epoch=1, state=State.RUNNING), loss=[3.0, 2.0, 1.0])
    whole = rita.get(address("metrics", run)).json()
    assert [point[:2] for point in whole["series"]["loss"]] == [[1, 3.0], [2, 2.0], [3, 1.0]]
    assert (whole["step"], whole["reset"], whole["final"]) == (3, True, False)
    known = {"after": 3, "epoch": 1, "width": whole["width"]}
    more = rita.get(address("metrics", run), known).json()
    assert [point[:2] for point in more["series"]["loss"]] == [[3, 1.0]]
    assert (more["reset"], more["since"]) == (False, 3)


@pytest.mark.twice
def test_a_point_that_was_not_whole_is_sent_again(rita, run):
    """Of buckets of two steps the last one held step 502 alone, and now holds 503 too."""
    losses = [9.0] * 501 + [2.0, 1.0]
    run = record(run_at(run, epoch=1, state=State.RUNNING), loss=losses)
    known = {"after": 502, "epoch": 1, "width": 2}
    answer = rita.get(address("metrics", run), known).json()
    assert (answer["reset"], answer["since"], answer["width"]) == (False, 502, 2)
    assert answer["series"]["loss"] == [[503, 1.5, 1.0, 2.0]]
    wider = rita.get(address("metrics", run), known | {"width": 1}).json()
    assert wider["reset"]


@pytest.mark.parametrize("key", ["%00", "loss%00"])
def test_a_key_that_no_metric_can_have_finds_none(rita, run, key):
    record(run, loss=[3.0])
    answer = rita.get(address("metrics_csv", run) + f"?key={key}")
    assert answer.content.decode().splitlines() == ["step,metric,value"]


def test_a_run_that_was_taken_up_again_sends_its_curves_anew(rita, run):
    run = record(run_at(run, epoch=1), loss=[3.0, 2.0])
    run_at(run, epoch=2)
    answer = rita.get(address("metrics", run), {"after": 2, "epoch": 1, "width": 1}).json()
    assert answer["reset"]
    assert len(answer["series"]["loss"]) == 2


@pytest.mark.twice
def test_a_run_of_many_curves_opens_with_fewer_points_of_each(rita, run, monkeypatch):
    monkeypatch.setattr(points, "POINTS", 16)
    monkeypatch.setattr(points, "FEWEST", 1)
    run = record(run, loss=[1 / step for step in range(1, 65)])
    alone = rita.get(address("metrics", run)).json()
    record(run, lr=[0.5] * 64, kl=[0.0] * 64, reward=[2.0] * 64)
    run_at(run, message="something new")
    together = rita.get(address("metrics", run)).json()
    lengths = [len(line) for line in together["series"].values()]
    assert (len(alone["series"]["loss"]), lengths) == (9, [3] * 4)
    asked = {"after": alone["step"], "epoch": alone["epoch"], "width": alone["width"]}
    assert rita.get(address("metrics", run), asked).json()["reset"]


def test_the_csv_has_every_number(rita, run):
    record(run, loss=[3.0, 2.0], lr=[0.1, 0.2])
    text = rita.get(address("metrics_csv", run)).content.decode()
    assert list(csv.reader(io.StringIO(text)))[1:3] == [["1", "loss", "3.0"], ["2", "loss", "2.0"]]
    only = rita.get(address("metrics_csv", run), {"key": "lr"}).content.decode()
    assert "loss" not in only
    assert "2,lr,0.2" in only


@pytest.mark.twice
def test_a_long_csv_is_sent_while_it_is_read(rita, run, monkeypatch):
    record(run, loss=[1 / step for step in range(1, 41)], lr=[0.5])
    short = rita.get(address("metrics_csv", run)).content
    monkeypatch.setattr(queries, "CHUNK", 10)
    answer = rita.get(address("metrics_csv", run))
    assert answer.streaming
    parts = list(answer)
    assert (b"".join(parts), len(parts)) == (short, 5)


@pytest.mark.parametrize("opens", ["=", "+", "-", "@", "\t", "\r"])
def test_no_metric_opens_a_formula_in_a_spreadsheet(rita, run, opens):
    name = f"{opens}HYPERLINK(0)"
    record(run, **{name: [1.0]})
    text = rita.get(address("metrics_csv", run)).content.decode()
    (row,) = list(csv.reader(io.StringIO(text, newline="")))[1:]
    assert row == ["1", f"'{name}", "1.0"]


def test_the_log_is_shown_and_can_be_downloaded(rita, run):
    folder = folder_of(run)
    folder.mkdir(parents=True)
    text = "a line of the log\n" * 20_000 + "<b>hello</b>"
    (folder / "stdout.log").write_text(text)
    assertContains(rita.get(address("detail", run)), "&lt;b&gt;hello&lt;/b&gt;")
    assert rita.get(address("log", run)).getvalue().decode() == text  # and not only its end
    assertContains(rita.get(address("log", run), headers=HTMX), "hx-trigger")
    run_at(run, state=State.SUCCEEDED)
    assertNotContains(rita.get(address("log", run), headers=HTMX), "hx-trigger")


@pytest.fixture
def evaluation(project, run, var):
    """A finished evaluation outside any round."""
    run_at(run, kind="evaluate", config={"judge": "none"}, state=State.SUCCEEDED, summary=summary())
    some_scores(run, var)
    return again(run)


def test_an_evaluation_tells_its_verdict_its_numbers_and_its_samples(rita, evaluation):
    text = rita.get(address("detail", evaluation)).content.decode()
    assert "it wins 71 % ± 4 of 154 held-out prompts" in text
    assert "<del>old</del><ins>new</ins>" in text
    assert text.index("A large one") < text.index("A small one")
    worst = rita.get(address("detail", evaluation), {"order": "loss"}).content.decode()
    assert worst.index("A small one") < worst.index("A large one")


def test_an_evaluation_that_failed_has_no_verdict(rita, evaluation):
    run_at(evaluation, state=State.FAILED)
    assertNotContains(rita.get(address("detail", evaluation)), "held-out prompts")


COUNTED = {"phase": "measuring the result", "phase_done": 1024.9, "phase_total": 4096.0}
COUNTED |= {"phase_unit": "completions", "phase_seconds": 100.0, "epoch": 1}


@pytest.mark.twice
@pytest.mark.parametrize("name", ["detail", "list"])
def test_pages_show_how_far_a_phase_is_while_it_lasts(rita, run, name):
    page = (
        address("detail", run) if name == "detail" else reverse("runs:list", args=[run.project_id])
    )
    run_at(run, state=State.RUNNING, **COUNTED)
    answer = rita.get(page)
    assertContains(answer, "1,024 of 4,096 completions")
    assertContains(answer, "about 5 min 0 s left")
    run_at(run, phase_done=0)
    answer = rita.get(page)
    assertContains(answer, "0 of 4,096 completions")
    assertNotContains(answer, "left")
    run_at(run, state=State.FAILED)
    assertNotContains(rita.get(page), "4,096")
