"""The pages and addresses of webhooks."""

import pytest

from tests.factories import again
from tests.webapp.addresses import client_with, session_of
from tests.webapp.api.programs import Program
from webapp.api.tokens import make_token
from webapp.audit.acts import Act
from webapp.audit.records import record_act
from webapp.webhooks.models import Delivery, Webhook
from webapp.webhooks.services import MOST
from webapp.webhooks.signatures import secret_from

SENT = {"url": "https://example.org/hook", "acts": ["run.ended", "job.ended"]}


@pytest.fixture
def browser(admin):
    return client_with(session_of(admin))


@pytest.fixture
def at(project):
    return f"/p/{project.pk}/webhooks/"


def test_a_secret_is_shown_once_and_never_stored(project, admin, browser, at):
    answer = browser.post(at, SENT)
    webhook = project.webhooks.get()
    assert (webhook.url, webhook.acts, webhook.created_by) == (SENT["url"], SENT["acts"], admin)
    secret = answer.context["secret"]
    assert secret == secret_from(webhook.salt)
    assert secret in answer.content.decode()
    assert secret not in browser.get(at).content.decode()
    assert secret.removeprefix("whsec_") not in str(list(Webhook.objects.values_list()))
    drawn = browser.post(f"{at}{webhook.pk}/", {"act": "secret"})
    assert drawn.context["secret"] == secret_from(again(webhook).salt) != secret


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"url": "https://127.0.0.1/"}, "url"),
        ({"url": "https://[::1]/"}, "url"),
        ({"url": "nonsense"}, "url"),
        ({"url": "https://example.org/" + "x" * 600}, "url"),
        ({"acts": []}, "acts"),
        ({"acts": ["webhook.tested"]}, "acts"),
        ({"acts": ["no.such"]}, "acts"),
    ],
)
def test_what_is_wrong_is_said_at_its_field(project, admin, browser, at, wrong, field):
    answer = browser.post(at, SENT | wrong)
    assert list(answer.context["form"].errors) == [field]
    program = Program(make_token(admin, name="t", scopes=["admin"]))
    refused = program.post(f"/projects/{project.pk}/webhooks", SENT | wrong)
    assert refused.status_code == 422
    assert not project.webhooks.exists()


@pytest.mark.once
def test_a_project_has_so_many_at_most(project, browser, at):
    Webhook.objects.bulk_create(
        Webhook(project=project, url=SENT["url"], acts=[], salt="") for _ in range(MOST)
    )
    assert browser.post(at, SENT).context["form"].non_field_errors()
    assert project.webhooks.count() == MOST


@pytest.mark.once
def test_its_page_shows_what_was_told_and_sends_it_again(project, webhook, browser, at):
    entry = record_act(Act.RUN_ENDED, None, project=project.pk)
    told = webhook.deliveries.get(entry=entry)
    Delivery.objects.update(state="failed", attempts=8, code=500)
    page = browser.get(f"{at}{webhook.pk}/").content.decode()
    assert "run.ended" in page
    assert ">500<" in page
    browser.post(f"{at}{webhook.pk}/", {"again": told.pk})
    assert (again(told).state, again(told).attempts) == ("waiting", 0)
    assert browser.post(f"{at}{webhook.pk}/", {"again": told.pk + 1}).status_code == 404
    assert browser.post(f"{at}{webhook.pk}/", {"act": "explode"}).status_code == 404


def test_it_is_turned_off_on_and_removed(project, webhook, browser, at):
    here = f"{at}{webhook.pk}/"
    browser.post(here, {"act": "off"})
    assert again(webhook).disabled_at
    refused = browser.post(here, {"act": "test"}, follow=True).content.decode()
    assert "turn it on first" in refused
    browser.post(here, {"act": "on"})
    assert again(webhook).disabled_at is None
    assert browser.post(here, {"act": "remove"}).headers["Location"] == at
    assert not project.webhooks.exists()


@pytest.mark.once
def test_programs_do_the_same(project, admin, listener):
    program = Program(make_token(admin, name="t", scopes=["read", "admin"]), admin)
    at = f"/projects/{project.pk}/webhooks"
    made = program.post(at, SENT).json()
    webhook = project.webhooks.get()
    assert made["secret"] == secret_from(webhook.salt)
    assert program.get(at).json()["items"] == [made["webhook"]]
    here = f"{at}/{webhook.pk}"
    assert program.get(here).json() == made["webhook"]
    assert program.post(f"{here}/secret").json()["secret"] == secret_from(again(webhook).salt)
    assert program.post(f"{here}/test").status_code == 204
    (told,) = program.get(f"{here}/deliveries").json()["items"]
    assert (told["act"], told["state"]) == ("webhook.tested", "waiting")
    assert program.post(f"{here}/deliveries/{told['id']}/again").status_code == 204
    assert program.post(f"{here}/off").status_code == 204
    refused = program.post(f"{here}/test")
    assert (refused.status_code, refused.json()["kind"]) == (409, "refused")
    assert program.post(f"{here}/explode").status_code == 404
    assert program.post(f"{here}/remove").status_code == 204
    assert program.get(here).status_code == 404
