"""Names of accounts: what is taken for one name is one, and nobody takes somebody else's."""

from importlib import import_module

import pytest
from django.apps import apps
from django.test import Client

from tests.factories import a_user
from webapp.accounts.errors import AccountError
from webapp.accounts.models import User
from webapp.accounts.names import LONGEST, check_name, name_form_of
from webapp.people.forms import AccountForm, AddMemberForm
from webapp.people.services import add_member

MIGRATION = import_module("webapp.accounts.migrations.0006_name_form")
PASSWORD = "a long enough pass phrase"
ALIKE = ["root", "ROOT", "Root", "root.", "_root", "ｒｏｏｔ", "r\u043e\u043et", "ʳoot"]


@pytest.mark.parametrize("name", ALIKE)
def test_names_that_are_taken_for_one_have_one_form(name):
    assert name_form_of(name) == "root"


@pytest.mark.parametrize("name", ["rot", "roots", "rööt", "r.oot", "root2", "ро́от"])
def test_other_names_have_other_forms(name):
    assert name_form_of(name) != "root"


@pytest.mark.parametrize(
    "name",
    ["p1\u0430dmin", "r\u03bfot", "\u0440oot", "ro\u03bft2", "аdmin", "admin\u0e01", "ab\u05d0"],
)
def test_a_name_of_several_scripts_is_refused(name):
    with pytest.raises(AccountError, match="several scripts"):
        check_name(name)


@pytest.mark.parametrize(
    "name", ["...", "@", "_-_", "\ufdfa" * 60, "root\u3164", "\u3164", "\u115fx"]
)
def test_a_name_that_cannot_be_read_is_refused(name):
    with pytest.raises(AccountError):
        check_name(name)


@pytest.mark.parametrize(
    "name",
    ["ana", "Ася", "ΑΒΓδ", "山田太郎", "山田タロウ", "やまだ花子", "김철수", "李bruce", "محمد", "שרה", "สมชาย", "José", "Łukasz", "o'hara",
     "user+tag@example.org", "ana2"],
)  # fmt: skip
def test_a_name_of_one_script_or_of_those_written_together_is_fine(name):
    check_name(name)


def test_a_name_like_one_that_is_there_is_refused_beside_the_field(db):
    a_user(username="p1admin")
    for name in ("P1Admin", "p1admin.", "Ｐ1admin"):
        form = AccountForm({"username": name, "password1": PASSWORD, "password2": PASSWORD})
        assert "username" in form.errors, name
    good = AccountForm({"username": "p2admin", "password1": PASSWORD, "password2": PASSWORD})
    assert good.is_valid()


@pytest.mark.parametrize("typed", ["Root", "ROOT", "root ", "ｒｏｏｔ"])
def test_signing_in_does_not_ask_for_the_case(db, typed):
    a_user(username="root", password=PASSWORD)
    client = Client()
    form = {"login": typed, "password": PASSWORD}
    assert client.post("/accounts/login/", form).status_code == 302
    assert client.login(username=typed.strip(), password=PASSWORD)


def test_a_member_is_added_by_any_form_of_the_name(project):
    ana = a_user(username="Ana")
    assert AddMemberForm({"username": "ANA", "role": "annotator"}).is_valid()
    assert add_member(project, "aNa", "annotator", None).user == ana


def test_accounts_of_before_whose_names_clash_all_stay(db):
    """As rows of an earlier version lie there, before they have forms."""
    names = [
        "ROOT",
        "root",
        "p1admin.",
        "p1admin",
        "\ufdfa" * 100,
        "x" * 150,
        "X" * 150,
        "imported:1:a",
        "imported:1:A",
    ]
    rows = [a_user(username=f"old{number}", is_active=number > 0) for number in range(len(names))]
    for row, name in zip(rows, names, strict=True):
        User.objects.filter(pk=row.pk).update(username=name)
    MIGRATION.give_forms(apps, None)
    found = list(User.objects.order_by("pk"))
    assert [user.name_form for user in found] == [name_form_of(user.username) for user in found]
    assert len({user.name_form for user in found}) == len(names)
    assert [user.username for user in found][:4] == ["ROOT-2", "root", "p1admin.", "p1admin-2"]
    assert found[5].username == "x" * 150
    assert [user.username for user in found][-2:] == names[-2:]
    assert all(len(user.username) <= LONGEST for user in found)


def test_failures_of_a_name_are_counted_together_however_it_is_written(db, settings):
    settings.ACCOUNT_RATE_LIMITS = {"login_failed": "2/5m/key"}
    a_user(username="root", password=PASSWORD)
    client = Client()
    answers = [
        client.post("/accounts/login/", {"login": name, "password": "wrong"}).content.decode()
        for name in ("root", "ROOT", "ｒｏｏｔ", "root.")
    ]
    assert ["Too many failed" in answer for answer in answers] == [False, False, True, True]
