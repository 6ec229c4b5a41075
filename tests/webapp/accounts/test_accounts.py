import io
from datetime import timedelta

import pytest
from django.core.management import CommandError, call_command
from django.urls import reverse
from pytest_django.asserts import assertContains

from tests.factories import a_user
from tests.webapp.addresses import look, use
from webapp.accounts.errors import AccountError
from webapp.accounts.models import OneTimeLink, User, new_link
from webapp.accounts.roles import Role
from webapp.people.links import create_first_admin
from webapp.people.services import add_member, change_role, remove_member
from webapp.projects.models import Membership

pytestmark = pytest.mark.once

PASSWORD = "correct horse battery"
FORM = {"username": "root", "password1": PASSWORD, "password2": PASSWORD}


def setup_url(**options):
    return reverse("accounts:setup", args=[new_link(OneTimeLink.Purpose.SETUP, **options)])


@pytest.mark.twice
def test_a_setup_link_makes_an_admin_and_signs_them_in(db, client):
    response = use(client, setup_url(), FORM, follow=True)
    assert response.context["user"] == User.objects.get(username="root", is_superuser=True)
    assertContains(response, "Create your first project")


@pytest.mark.twice
def test_a_setup_link_works_once(db, client):
    url = setup_url()
    use(client, url, FORM)
    response = use(client, url, FORM | {"username": "second"})
    assertContains(response, "setup_link", status_code=410)
    assert list(User.objects.values_list("username", flat=True)) == ["root"]


def test_a_second_setup_link_makes_no_second_admin(db, client):
    first, second = setup_url(), setup_url()
    use(client, first, FORM)
    client.logout()
    response = client.post(second, FORM | {"username": "second"})
    assert response.status_code == 410
    assert list(User.objects.values_list("username", flat=True)) == ["root"]


def test_looking_at_a_setup_link_does_not_use_it_up(db, client):
    url = setup_url()
    assert look(client, url).status_code == look(client, url).status_code == 200


@pytest.mark.twice
def test_an_expired_setup_link_says_what_to_do(db, client):
    response = client.get(setup_url(valid=timedelta(seconds=-1)))
    assertContains(response, "prints a new one", status_code=410)


def test_a_made_up_setup_link_makes_nobody(db, client):
    url = reverse("accounts:setup", args=["guess"])
    assert use(client, url, FORM).status_code == 410
    assert not User.objects.exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"password2": "another one entirely"}, "match"),
        ({"password1": "short", "password2": "short"}, "too short"),
        ({"username": ""}, "required"),
    ],
)
def test_a_wrong_setup_form_keeps_the_link(db, client, change, message):
    url = setup_url()
    assertContains(use(client, url, FORM | change), message)
    assert use(client, url, FORM).status_code == 302


@pytest.mark.twice
def test_a_taken_name_is_refused_beside_the_field(db, client):
    a_user(username="root")
    assertContains(use(client, setup_url(), FORM), "already exists")


@pytest.mark.twice
def test_of_two_who_use_a_link_at_once_one_becomes_admin(db):
    token = new_link(OneTimeLink.Purpose.SETUP)
    create_first_admin(token, username="first", password=PASSWORD)
    with pytest.raises(AccountError):
        create_first_admin(token, username="second", password=PASSWORD)


def printed_link(*options):
    out = io.StringIO()
    call_command("setup_link", *options, stdout=out)
    return out.getvalue().strip()


def test_the_command_prints_a_link_that_works(db, client):
    assertContains(look(client, printed_link()), "Create the admin account")
    assert printed_link("--url", "http://here:8000/").startswith("http://here:8000/setup/")


def test_the_command_prints_no_second_admins_link_unless_forced(db):
    User.objects.create_superuser("root")
    with pytest.raises(CommandError, match="--force"):
        printed_link()
    assert "/setup/" in printed_link("--force")


def test_a_new_member_gets_an_account_that_opens_with_the_password(project, client):
    add_member(project, "mia", Role.ANNOTATOR, PASSWORD)
    assert client.login(username="mia", password=PASSWORD)
    assert project.memberships.get().role == Role.ANNOTATOR


def test_adding_somebody_with_an_account_leaves_their_password(project, client):
    User.objects.create_user("mia", password=PASSWORD)
    add_member(project, "mia", Role.RESEARCHER, "something else")
    assert client.login(username="mia", password=PASSWORD)


@pytest.mark.twice
def test_nobody_is_a_member_twice(project):
    add_member(project, "mia", Role.ANNOTATOR, PASSWORD)
    with pytest.raises(AccountError, match="a member already"):
        add_member(project, "mia", Role.ADMIN, None)
    assert Membership.objects.count() == 1


def test_a_simulated_member_is_marked(project):
    assert add_member(project, "sim", Role.ANNOTATOR, PASSWORD, simulated=True).user.simulated


def test_the_last_admin_stays(project):
    admin = add_member(project, "ada", Role.ADMIN, PASSWORD)
    for act in (lambda: change_role(admin, Role.ANNOTATOR), lambda: remove_member(admin)):
        with pytest.raises(AccountError, match="only admin"):
            act()
    assert project.memberships.get().role == Role.ADMIN


@pytest.mark.twice
def test_one_of_two_admins_may_go(project):
    ada, bob = (add_member(project, name, Role.ADMIN, PASSWORD) for name in ("ada", "bob"))
    change_role(ada, Role.RESEARCHER)
    assert set(project.memberships.values_list("role", flat=True)) == {"researcher", "admin"}
    with pytest.raises(AccountError):
        remove_member(bob)


def test_signing_out_takes_a_post(project, researcher, client):
    client.force_login(researcher)
    client.get(reverse("account_logout"))
    assert client.get(reverse("project", args=[project.pk])).status_code == 200
    client.post(reverse("account_logout"))
    assert client.get(reverse("project", args=[project.pk])).status_code == 302


@pytest.mark.parametrize("path", ["signup", "email", "login/code", "password/reset/key/1-a"])
def test_nobody_signs_up_and_nothing_is_mailed(db, client, path):
    assert client.post(f"/accounts/{path}/", FORM).status_code == 404
    assert not User.objects.exists()


def test_a_member_changes_the_password_they_were_given(project, client):
    add_member(project, "mia", Role.ANNOTATOR, PASSWORD)
    client.login(username="mia", password=PASSWORD)
    url, new = reverse("account_change_password"), "another horse battery"
    assertContains(client.get(url), "Change your password")
    client.post(url, {"oldpassword": PASSWORD, "password1": new, "password2": new})
    assert client.login(username="mia", password=new)


def test_a_lost_password_is_not_mailed(db, client, mailoutbox):
    url = reverse("account_reset_password")
    assertContains(client.get(url), "An admin of your project")
    assert client.post(url, {"email": "mia@example.org"}).status_code == 405
    assert not mailoutbox
