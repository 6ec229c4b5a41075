"""What people are told of: runs and jobs that ended, wishes; on a page, by their choices."""

import pytest
from django.urls import reverse
from pytest_django.asserts import assertContains, assertNotContains

from tests.factories import a_run, a_sweep, a_user, again
from webapp.accounts.roles import Role
from webapp.jobs import execution
from webapp.jobs.models import Job
from webapp.notifications.models import Notification, Occasion
from webapp.notifications.services import (
    KEPT,
    News,
    choose_news,
    forget_notifications,
    mark_read,
    notify,
)
from webapp.runs.models import State
from webapp.runs.services import cancel_run
from webapp.runs.transitions import Change, move
from webapp.site.clock import after

pytestmark = pytest.mark.once


def news(project, occasion=Occasion.RUN, what="Tiny", outcome="succeeded"):
    return News(project.pk, occasion, what, reverse("project", args=[project.pk]), outcome)


def end(run, state=State.SUCCEEDED):
    assert move(run, Change((State.QUEUED,), state, "worker"))


def sentences(person):
    return [one.sentence for one in person.notifications.order_by("pk")]


def test_whoever_started_a_run_is_told_how_it_ended(
    project, researcher, django_capture_on_commit_callbacks
):
    ended, failed = (a_run(project, name=name, created_by=researcher) for name in ("One", "Two"))
    cancelled = a_run(project, created_by=researcher)
    with django_capture_on_commit_callbacks(execute=True):
        end(ended)
        end(failed, State.FAILED)
        cancel_run(cancelled, by=researcher)
    assert sentences(researcher) == ["The run “One” has succeeded.", "The run “Two” has failed."]
    assert again(researcher).unread == 2


def test_trials_of_a_sweep_are_told_of_by_its_page(
    project, researcher, django_capture_on_commit_callbacks
):
    sweep = a_sweep(project, created_by=researcher)
    with django_capture_on_commit_callbacks(execute=True):
        end(sweep.trials.first().run)
    assert not Notification.objects.exists()


def test_whoever_asked_for_a_job_is_told_how_it_ended(
    project, researcher, django_capture_on_commit_callbacks
):
    columns = {"project": project, "state": "working", "attempts": 1, "created_by": researcher}
    done, failed, seen = (
        Job.objects.create(key=str(number), kind=kind, lease_until=after(60), **columns)
        for number, kind in enumerate(("export", "import", "preview"))
    )
    with django_capture_on_commit_callbacks(execute=True):
        execution.conclude(done, dict)
        execution._fail(failed, "The file is odd.")
        execution.conclude(seen, dict)
    assert sentences(researcher) == ["Done: Export", "Failed: Import"]


def test_members_hear_of_a_new_wish_and_who_made_it_does_not(project, researcher, client):
    ana = a_user(project, Role.ANNOTATOR)
    client.force_login(researcher)
    wish = {"what": "prompts", "tag": "law", "wanted": 5}
    for _ in range(2):  # the second one changes it
        client.post(reverse("needed", args=[project.pk]), wish)
    assert sentences(ana) == ["Wanted: 5 · law · Prompts"]
    assert not sentences(researcher)


def test_nobody_hears_of_what_they_have_muted(project, researcher):
    choose_news(researcher, muted=["run"], digest=False, email="")
    notify([researcher.pk, None], news(project))
    notify([researcher.pk], news(project, Occasion.WISH))
    assert [one.kind for one in researcher.notifications.all()] == ["wish"]
    assert again(researcher).unread == 1


@pytest.mark.twice
def test_the_header_counts_without_a_query_more(
    project, researcher, client, django_assert_num_queries
):
    client.force_login(researcher)
    page = reverse("notification_choices")
    with django_assert_num_queries(2):  # the session, and the choices
        client.get(page)
    notify([researcher.pk], news(project))
    with django_assert_num_queries(2):
        assertContains(client.get(page), '<span class="num">1</span>')


def test_a_press_says_that_all_is_read_and_a_look_does_not(project, researcher, client):
    notify([researcher.pk], news(project, what="<b>Tiny</b>"))
    client.force_login(researcher)
    page = client.get(reverse("notifications"))
    assertContains(page, "The run “&lt;b&gt;Tiny&lt;/b&gt;” has succeeded.")
    assertContains(page, "Mark all as read")
    assertNotContains(client.post(reverse("notifications"), follow=True), "Mark all as read")
    assert again(researcher).unread == 0


def test_nobody_sees_what_others_are_told(project, researcher, client):
    notify([researcher.pk], news(project))
    client.force_login(a_user(project))
    assertNotContains(client.get(reverse("notifications")), "Tiny")


def test_choices_are_kept_and_a_mail_needs_an_address_and_a_server(researcher, client, settings):
    client.force_login(researcher)
    url = reverse("notification_choices")
    page = client.post(url, {"kinds": ["run"], "digest": "on"})
    assert set(page.context["form"].errors) == {"email", "digest"}
    settings.EMAIL_HOST = "mail.example"
    client.post(url, {"kinds": ["run"], "digest": "on", "email": "rita@example.org"})
    kept = again(researcher)
    assert (kept.email, kept.subscription.digest) == ("rita@example.org", True)
    assert sorted(kept.subscription.muted) == ["answer", "job", "question", "wish"]
    assert client.get(url).context["form"].initial["kinds"] == ["run"]


@pytest.mark.twice
def test_what_was_told_long_ago_is_dropped(project, researcher):
    notify([researcher.pk], news(project))
    assert forget_notifications() == 0
    Notification.objects.update(created_at=after(-KEPT.total_seconds() - 60))
    assert forget_notifications() == 1
    mark_read(researcher)


@pytest.mark.twice
@pytest.mark.parametrize("long", ["x" * 500])
def test_a_long_text_is_told_short(project, researcher, long):
    notify([researcher.pk], news(project, what=long))
    assert len(researcher.notifications.get().what) == 200
