"""People as an admin meets them: invited, let in again, turned away; and the pages they see."""

import pytest
from django.conf import settings
from django.urls import reverse
from playwright.sync_api import expect

from tests.browser.test_rounds import violations
from tests.factories import a_user
from webapp.accounts.models import User
from webapp.accounts.roles import Role
from webapp.people.links import invite, reset_link

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
PASSWORD = "long-enough-to-type"  # of a test


@pytest.fixture
def ada(project):
    return a_user(project, Role.ADMIN, username="ada", password=PASSWORD)


@pytest.fixture
def ana(project):
    return a_user(project, Role.ANNOTATOR, username="ana", password=PASSWORD)


@pytest.fixture
def members(live_server, project, ada, ana, client, context, browser_page):
    """The members page in the admin's browser."""
    client.force_login(ada)
    name = settings.SESSION_COOKIE_NAME
    context.add_cookies(
        [{"name": name, "value": client.cookies[name].value, "url": live_server.url}]
    )
    browser_page.goto(live_server.url + reverse("members", args=[project.pk]))
    return browser_page


@pytest.fixture
def elsewhere(chromium):
    """A browser in which nobody is signed in."""
    context = chromium.new_context()
    yield context.new_page()
    context.close()


def choose(page, *fields):
    for label, value in fields:
        page.get_by_label(label, exact=True).fill(value)


def test_an_invited_person_joins_by_the_link_an_admin_made(members, elsewhere, project):
    members.get_by_label("Note").fill("The new one")
    members.get_by_role("button", name="Make an invitation link").click()
    link = members.locator(".secret").inner_text()
    expect(members.get_by_role("cell", name="The new one", exact=True)).to_be_visible()
    assert violations(members) == []
    elsewhere.goto(link)
    choose(elsewhere, ("Username", "mia"), ("Password", PASSWORD))
    elsewhere.get_by_label("Password confirmation").fill(PASSWORD)
    elsewhere.get_by_role("button", name="Create my account and join").click()
    expect(elsewhere.get_by_role("heading", name=project.name)).to_be_visible()
    members.goto(members.url)
    expect(members.get_by_label("Role of mia", exact=True)).to_have_value("annotator")
    expect(members.get_by_role("cell", name="The new one", exact=True)).to_have_count(0)


def test_a_person_gets_in_again_by_a_reset_link(members, elsewhere, ana):
    members.get_by_role("button", name="New password for ana").click()
    elsewhere.goto(members.locator(".secret").inner_text())
    for field in elsewhere.locator("input[type=password]").all():
        field.fill("something-else-entirely")
    elsewhere.get_by_role("button", name="Set the password and sign in").click()
    expect(elsewhere.get_by_text("Your new password is set")).to_be_visible()


def test_an_admin_deactivates_somebody_after_being_asked(members, ana):
    members.on("dialog", lambda dialog: dialog.accept())
    members.get_by_role("button", name="Deactivate ana").click()
    expect(members.get_by_role("button", name="Reactivate ana")).to_be_visible()
    assert not User.objects.get(username="ana").is_active


def pages(live_server, project, ada, ana):
    tokens = {"invitation": invite(project, Role.ANNOTATOR, by=ada, note="For Bo")}
    tokens["reset"] = reset_link(ana, by=ada)
    paths = [reverse(f"accounts:{name}", args=[token]) for name, token in tokens.items()]
    paths += [reverse("members", args=[project.pk]), reverse("account_change_password")]
    spent = reverse("accounts:invitation", args=["spent"])
    return [live_server.url + path for path in [*paths, spent, reverse("account_reset_password")]]


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 360])
def test_the_pages_of_people_are_accessible(
    members, elsewhere, live_server, project, ada, ana, width, scheme
):
    for url in pages(live_server, project, ada, ana):
        for page in (members, elsewhere):
            page.set_viewport_size({"width": width, "height": 740})
            page.emulate_media(color_scheme=scheme)
            page.goto(url)
            assert (url, violations(page)) == (url, [])
            assert page.evaluate("document.documentElement.scrollWidth") == width


def test_the_frame_takes_two_rows_on_a_phone(members, project):
    project.name = "A project with quite a long name for a phone"
    project.save()
    members.set_viewport_size({"width": 360, "height": 740})
    members.reload()
    rows = {
        round(members.locator(each).bounding_box()["y"] / 20)
        for each in (".brand", ".switcher", "[data-theme-switch]", ".top > form:not(.languages)")
    }
    assert members.locator(".top").bounding_box()["height"] < 100
    assert max(rows) - min(rows) <= 1
