"""Invitations, lost passwords, deactivation: what each link and each act does, and to whom it may."""

import re
from datetime import timedelta

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from pytest_django.asserts import assertContains, assertNotContains, assertRedirects

from tests.factories import a_label, a_project, a_user, again, some_tasks
from tests.webapp.addresses import look, use
from webapp.accounts.errors import AccountError
from webapp.accounts.models import OneTimeLink, User, new_link
from webapp.accounts.roles import Role
from webapp.labeling import queue
from webapp.people import links, services

pytestmark = pytest.mark.once

PASSWORD, OTHER = "correct horse battery", "another horse battery"
NEW = {"username": "mia", "password1": PASSWORD, "password2": PASSWORD}
NEW_PASSWORD = {"new_password1": OTHER, "new_password2": OTHER}


@pytest.fixture
def admin(project):
    return a_user(project, Role.ADMIN, username="ada")


@pytest.fixture
def ada(client, admin):
    client.force_login(admin)
    return client


@pytest.fixture
def ana(project):
    return a_user(project, Role.ANNOTATOR, username="ana", password=PASSWORD)


@pytest.fixture
def browser(ana):
    """Another browser, in which ana is signed in."""
    browser = Client()
    browser.force_login(ana)
    return browser


def shown_link(response):
    return re.search(r"http://testserver(/\w+/[\w-]+/)", response.content.decode())[1]


def invitation(project, by, role=Role.ANNOTATOR):
    return reverse("accounts:invitation", args=[links.invite(project, role, by=by)])


def reset(ana, admin):
    return reverse("accounts:reset", args=[links.reset_link(ana, by=admin)])


def member(project, user):
    return reverse("member", args=[project.pk, project.memberships.get(user=user).pk])


def expire_links():
    OneTimeLink.objects.update(expires_at=timezone.now() - timedelta(seconds=1))


def test_an_invited_person_chooses_a_name_and_lands_in_the_project(project, ada):
    form = {"role": "researcher", "note": "The new one"}
    url = shown_link(ada.post(reverse("invite", args=[project.pk]), form))
    response = use(Client(), url, NEW, follow=True)
    assertRedirects(response, reverse("project", args=[project.pk]))
    assert response.context["user"].username == "mia"
    assert project.memberships.get(user__username="mia").role == Role.RESEARCHER


@pytest.mark.twice
def test_an_invitation_is_shown_once_and_waits_on_the_page(project, ada):
    made = ada.post(reverse("invite", args=[project.pk]), {"role": "annotator", "note": "For Bo"})
    page = ada.get(reverse("members", args=[project.pk]))
    assertContains(page, "For Bo")
    assertNotContains(page, shown_link(made))


@pytest.mark.twice
def test_an_invitation_works_once(project, admin, client):
    url = invitation(project, admin)
    use(client, url, NEW)
    again = use(Client(), url, NEW | {"username": "bo"})
    assertContains(again, "used already", status_code=410)
    assert not User.objects.filter(username="bo").exists()


@pytest.mark.twice
def test_of_two_who_open_an_invitation_at_once_one_joins(project, admin):
    token = links.invite(project, Role.ANNOTATOR, by=admin)
    links.accept_as_new(token, username="mia", password=PASSWORD)
    with pytest.raises(AccountError, match="used already"):
        links.accept_as_new(token, username="bo", password=PASSWORD)


@pytest.mark.twice
def test_an_invitation_ends_after_seven_days(project, admin, client):
    url = invitation(project, admin)
    left = OneTimeLink.objects.get().expires_at - timezone.now()
    assert timedelta(days=6.9) < left <= timedelta(days=7)
    expire_links()
    assert use(client, url, NEW).status_code == 410
    assert not User.objects.filter(username="mia").exists()


def test_a_withdrawn_invitation_does_nothing(project, admin, ada):
    url = invitation(project, admin)
    link = OneTimeLink.objects.get()
    ada.post(reverse("withdraw", args=[project.pk, link.pk]))
    assert use(Client(), url, NEW).status_code == 410


@pytest.mark.parametrize("act", ["demoted", "removed"])
def test_who_is_no_admin_any_more_has_no_invitation_out(project, admin, client, act):
    """It might let themselves in again, as an admin."""
    other = a_user(project, Role.ADMIN, username="eve")
    kept, gone = (invitation(project, by, Role.ADMIN) for by in (admin, other))
    membership = project.memberships.get(user=other)
    if act == "demoted":
        services.change_role(membership, Role.ANNOTATOR)
    else:
        services.remove_member(membership)
    assert use(client, gone, NEW).status_code == 410
    assert use(client, kept, NEW).status_code == 302


def test_nobody_withdraws_an_invitation_to_another_project(project, ada):
    other = a_project()
    invitation(other, a_user(other, Role.ADMIN))
    response = ada.post(reverse("withdraw", args=[project.pk, OneTimeLink.objects.get().pk]))
    assert response.status_code == 404
    assert OneTimeLink.objects.exists()


def test_a_refused_name_keeps_the_invitation(project, admin, ana, client):
    url = invitation(project, admin)
    assertContains(use(client, url, NEW | {"username": "ana"}), "already exists")
    assert use(client, url, NEW).status_code == 302


def test_somebody_with_an_account_joins_with_it(admin, browser, ana):
    other = a_project()
    url = invitation(other, admin, Role.RESEARCHER)
    assertContains(look(browser, url), "Join as ana")
    assertRedirects(use(browser, url), reverse("project", args=[other.pk]))
    assert other.memberships.get(user=ana).role == Role.RESEARCHER


def test_a_member_who_opens_an_invitation_leaves_it_to_others(project, admin, browser, client):
    url = invitation(project, admin)
    assertContains(use(browser, url), "a member already")
    assert use(client, url, NEW).status_code == 302


def test_a_link_of_one_kind_does_nothing_of_another(project, admin, ana, client):
    token = links.invite(project, Role.ADMIN, by=admin)
    for name in ("setup", "reset"):
        assert client.post(reverse(f"accounts:{name}", args=[token]), NEW).status_code == 410
    assert not User.objects.filter(is_superuser=True).exists()


@pytest.mark.twice
def test_a_lost_password_is_replaced_by_a_link(project, ada, ana, browser):
    membership = project.memberships.get(user=ana)
    url = shown_link(ada.post(reverse("reset", args=[project.pk, membership.pk])))
    response = use(Client(), url, NEW_PASSWORD, follow=True)
    assertContains(response, "Your new password is set")
    assert Client().login(username="ana", password=OTHER)
    assert browser.get("/").status_code == 302  # its session has ended
    assert use(Client(), url, NEW_PASSWORD).status_code == 410


def test_a_new_reset_link_replaces_the_one_before(ana, admin, client):
    first, second = reset(ana, admin), reset(ana, admin)
    assert look(client, first).status_code == 410
    assert look(client, second).status_code == 200


def in_the_dashboard(ana, client):
    client.force_login(ana)
    words = {"oldpassword": PASSWORD, "password1": "glad-tidings-9", "password2": "glad-tidings-9"}
    client.post(reverse("account_change_password"), words)
    client.logout()


def by_the_command(ana, _client):
    fresh = User.objects.get(pk=ana.pk)  # as `manage.py changepassword` does
    fresh.set_password("glad-tidings-9")
    fresh.save()


@pytest.mark.parametrize("change", [in_the_dashboard, by_the_command])
def test_a_reset_link_ends_when_the_password_is_changed(ana, admin, client, change):
    ana.set_password(PASSWORD)
    ana.save()
    token = links.reset_link(ana, by=admin)
    change(ana, client)
    assert User.objects.get(pk=ana.pk).check_password("glad-tidings-9")
    assert look(client, reverse("accounts:reset", args=[token])).status_code == 410


def test_a_reset_link_outlives_whatever_else_is_said_of_a_person(ana, admin, client):
    token = links.reset_link(ana, by=admin)
    ana.first_name = "Ana"
    ana.save()
    assert look(client, reverse("accounts:reset", args=[token])).status_code == 200


def test_a_weak_new_password_keeps_the_link(ana, admin, client):
    url = reset(ana, admin)
    weak = {"new_password1": "ana", "new_password2": "ana"}
    assertContains(use(client, url, weak), "too short")
    assert use(client, url, NEW_PASSWORD).status_code == 302


def test_a_reset_link_ends_when_its_maker_no_longer_manages_the_account(ana, admin, client):
    url = reset(ana, admin)
    a_project().memberships.create(user=ana, role=Role.ANNOTATOR)
    assert use(client, url, NEW_PASSWORD).status_code == 410
    assert again(ana).check_password(PASSWORD)


def test_who_also_works_elsewhere_is_not_one_admins_to_decide_about(project, ana, admin):
    a_project().memberships.create(user=ana, role=Role.ANNOTATOR)
    for act in (links.reset_link, services.deactivate, services.reactivate):
        with pytest.raises(AccountError, match="whoever runs Attune"):
            act(ana, by=admin)
    services.deactivate(ana, by=User.objects.create_superuser("root"))
    assert not again(ana).is_active


def test_no_project_admin_decides_about_a_superuser(project, admin):
    root = User.objects.create_superuser("root")
    project.memberships.create(user=root, role=Role.ADMIN)
    with pytest.raises(AccountError):
        links.reset_link(root, by=admin)


@pytest.mark.twice
def test_deactivation_ends_sessions_and_gives_tasks_back_but_keeps_labels(
    project, ada, ana, browser
):
    first, second = some_tasks(project, 2)
    a_label(first, annotator=ana)
    queue.claim(project, ana)
    ada.post(member(project, ana), {"act": "deactivate"})
    assert browser.get("/").status_code == 302
    assert (again(first).done, again(second).taken) == (1, 0)
    assert ana.labels.count() == 1


def test_a_deactivated_person_is_told_so_at_sign_in(project, admin, ana, client):
    services.deactivate(ana, by=admin)
    form = {"login": "ana", "password": PASSWORD}
    assertContains(client.post(reverse("account_login"), form, follow=True), "is deactivated")
    assert not client.login(username="ana", password=PASSWORD)


def test_reactivation_lets_them_sign_in_but_revives_no_session(project, ada, admin, ana, browser):
    services.deactivate(ana, by=admin)
    ada.post(member(project, ana), {"act": "reactivate"})
    assert browser.get("/").status_code == 302
    assert browser.login(username="ana", password=PASSWORD)


def test_the_links_of_a_deactivated_admin_end(project, admin, client):
    bob = a_user(project, Role.ADMIN)
    url = invitation(project, bob)
    services.deactivate(bob, by=admin)
    assert use(client, url, NEW).status_code == 410


def test_nobody_deactivates_themselves_or_the_last_active_admin(project, admin):
    with pytest.raises(AccountError, match="yourself"):
        services.deactivate(admin, by=admin)
    with pytest.raises(AccountError, match="only admin"):
        services.deactivate(admin, by=User.objects.create_superuser("root"))
    assert again(admin).is_active


def test_a_deactivated_admin_does_not_count_as_one(project, admin):
    bob = a_user(project, Role.ADMIN)
    services.deactivate(bob, by=admin)
    with pytest.raises(AccountError, match="only admin"):
        services.change_role(project.memberships.get(user=admin), Role.RESEARCHER)


def test_who_leaves_a_project_gives_its_tasks_back(project, ana):
    (task,) = some_tasks(project, 1)
    queue.claim(project, ana)
    services.remove_member(project.memberships.get(user=ana))
    assert again(task).taken == 0


@pytest.mark.twice
def test_changing_the_own_password_ends_the_other_sessions(ana, browser, client):
    client.force_login(ana)
    form = {"oldpassword": PASSWORD, "password1": OTHER, "password2": OTHER}
    client.post(reverse("account_change_password"), form)
    project = reverse("project", args=[ana.memberships.get().project_id])
    assert client.get(project).status_code == 200
    assert browser.get(project).status_code == 302


@pytest.mark.parametrize("act", ["", "promote"])
def test_an_unknown_act_does_not_exist(project, ada, ana, act):
    assert ada.post(member(project, ana), {"act": act, "role": "admin"}).status_code == 404


@pytest.mark.twice
def test_guessing_at_a_password_locks_nobody_out(db, client):
    """Failures count by name and address: whoever owns the name signs in from where they are."""
    a_user(a_project(), Role.ANNOTATOR, username="ana", password=PASSWORD)
    url = reverse("account_login")
    wrong, right = ({"login": "ana", "password": word} for word in ("guess", PASSWORD))
    answers = [client.post(url, wrong, REMOTE_ADDR="10.0.0.9") for _ in range(6)]
    assertContains(answers[-1], "Too many failed login attempts")
    refused = client.post(url, right, REMOTE_ADDR="10.0.0.9")
    assertContains(refused, "Too many failed login attempts")
    assert Client().post(url, right, REMOTE_ADDR="10.0.0.1").status_code == 302


def test_a_link_that_lacks_what_it_is_for_opens_nothing(ana, client):
    nobody_made_it = new_link(OneTimeLink.Purpose.RESET, user=ana)
    to_nowhere = new_link(OneTimeLink.Purpose.INVITE, role=Role.ANNOTATOR)
    assert look(client, reverse("accounts:reset", args=[nobody_made_it])).status_code == 410
    with pytest.raises(AccountError):
        links.accept(to_nowhere, ana)
    assert OneTimeLink.objects.opened_by(to_nowhere, OneTimeLink.Purpose.INVITE).exists()


def test_who_adds_an_account_without_a_project_by_its_name_has_no_say_over_it(
    project, admin, client
):
    lone = a_user(username="lone", password=PASSWORD)
    client.force_login(admin)
    client.post(reverse("members", args=[project.pk]), {"username": "Lone", "role": "annotator"})
    membership = project.memberships.get(user=lone)
    for act in (links.reset_link, services.deactivate, services.reactivate):
        with pytest.raises(AccountError, match="whoever runs Attune"):
            act(lone, by=admin)
    page = client.post(reverse("reset", args=[project.pk, membership.pk]), follow=True)
    assertContains(page, "whoever runs Attune")
    assert not OneTimeLink.objects.filter(user=lone).exists()


def test_nobody_manages_an_account_that_has_left_but_a_superuser(project, admin, ana):
    services.remove_member(project.memberships.get(user=ana))
    with pytest.raises(AccountError):
        links.reset_link(ana, by=admin)
    services.add_member(project, "ana", Role.ANNOTATOR, None)
    with pytest.raises(AccountError):
        links.reset_link(ana, by=admin)
    assert links.reset_link(ana, by=User.objects.create_superuser("root"))


def test_who_comes_by_an_invitation_is_its_projects_to_manage(project, admin):
    came = links.accept_as_new(
        links.invite(project, Role.ANNOTATOR, by=admin), username="cia", password=PASSWORD
    )
    assert links.reset_link(came.user, by=admin)


@pytest.mark.twice
def test_somebody_chooses_where_their_days_begin(browser, ana):
    url = reverse("accounts:own_account")
    assert browser.post(url, {"time_zone": "Mars/Olympus"}).context["form"].errors
    assertContains(browser.post(url, {"time_zone": "Asia/Shanghai"}, follow=True), "Saved.")
    assert again(ana).time_zone == "Asia/Shanghai"
