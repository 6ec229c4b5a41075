import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import resolve, reverse
from pytest_django.asserts import assertContains, assertNotContains, assertRedirects

from tests.factories import a_completion, a_project, a_prompt, a_user, some_prompts, some_tasks
from webapp.accounts.models import User
from webapp.accounts.roles import Role
from webapp.home import queries as home_queries
from webapp.people.links import invite
from webapp.projects.context import navigation
from webapp.projects.forms import ProjectForm
from webapp.projects.models import Project, Prompt
from webapp.projects.services import mark_of
from webapp.site.pages import ROWS

HTMX = {"HX-Request": "true"}


@pytest.fixture
def annotator(project):
    return a_user(project, Role.ANNOTATOR, username="ana")


@pytest.fixture
def admin(project):
    return a_user(project, Role.ADMIN, username="ada")


@pytest.fixture
def root(db):
    return User.objects.create_superuser("root")


@pytest.mark.parametrize("page", ["project", "prompts", "members", "guidelines"])
def test_another_projects_page_does_not_exist(project, admin, client, page):
    client.force_login(admin)
    assert client.get(reverse(page, args=[a_project().pk])).status_code == 404


@pytest.mark.parametrize("page", ["members", "guidelines"])
def test_only_admins_see_an_admins_page(project, researcher, admin, client, page):
    url = reverse(page, args=[project.pk])
    client.force_login(researcher)
    assert client.get(url).status_code == client.post(url).status_code == 404
    client.force_login(admin)
    assert client.get(url).status_code == 200


def test_a_stranger_is_sent_to_sign_in(project, client):
    for url in (reverse("home"), reverse("project", args=[project.pk])):
        assertRedirects(client.get(url), f"{reverse('account_login')}?next={url}")


def test_home_goes_straight_to_the_only_project(project, annotator, client):
    client.force_login(annotator)
    assertRedirects(client.get("/"), reverse("project", args=[project.pk]))


def test_home_lists_my_projects_with_what_waits(project, annotator, client):
    second, foreign = a_project(), a_project(name="Somebody else's")
    second.memberships.create(user=annotator, role=Role.RESEARCHER)
    some_tasks(second, 3)
    client.force_login(annotator)
    response = client.get("/")
    assertContains(response, "3 tasks waiting")
    assertContains(response, "researcher")
    assertNotContains(response, foreign.name)


def test_home_counts_in_a_constant_number_of_queries(
    annotator, client, django_assert_max_num_queries
):
    for project in [a_project() for _ in range(12)]:
        project.memberships.create(user=annotator, role=Role.ANNOTATOR)
    client.force_login(annotator)
    with django_assert_max_num_queries(7):
        client.get("/")


def test_who_is_in_no_project_is_told_what_to_do(db, client):
    client.force_login(a_user())
    assertContains(client.get("/"), "Ask an admin to add you")


def test_the_first_admin_makes_a_project_with_starter_prompts(root, client):
    client.force_login(root)
    assertContains(client.get("/", follow=True), "Create your first project")
    form = {"name": "Helpful", "guidelines": "Be kind.", "starter_prompts": "on"}
    client.post(reverse("new_project"), form)
    project = Project.objects.get(name="Helpful")
    assert project.prompts.filter(source=Prompt.Source.GENERATED).count() == 800
    assert project.memberships.get().role == Role.ADMIN


def test_a_project_may_start_empty(root, client):
    client.force_login(root)
    client.post(reverse("new_project"), {"name": "Empty"})
    assert not Project.objects.get(name="Empty").prompts.exists()


def test_two_projects_do_not_share_a_name(root, project, client):
    client.force_login(root)
    response = client.post(reverse("new_project"), {"name": project.name})
    assertContains(response, "already exists")


def test_only_a_superuser_makes_projects(admin, client):
    client.force_login(admin)
    assert client.post(reverse("new_project"), {"name": "Mine"}).status_code == 404
    assert not Project.objects.filter(name="Mine").exists()


def test_an_annotator_writes_a_prompt(project, annotator, client):
    client.force_login(annotator)
    url = reverse("prompts", args=[project.pk])
    response = client.post(url, {"text": "Why is\r\nthe sky blue? "}, follow=True)
    assertContains(response, "Why is\nthe sky blue?")
    prompt = project.prompts.get()
    assert (prompt.text, prompt.author) == ("Why is\nthe sky blue?", annotator)
    assert prompt.source == Prompt.Source.WRITTEN


@pytest.mark.parametrize("text", ["Why is the sky blue?", "why is the SKY blue? "])
def test_a_prompt_that_is_there_is_refused_kindly(project, annotator, client, text):
    a_prompt(project, "Why is the sky blue?")
    client.force_login(annotator)
    response = client.post(reverse("prompts", args=[project.pk]), {"text": text})
    assertContains(response, "Already there: “Why is the sky blue?”")
    assert project.prompts.count() == 1


def test_another_projects_prompt_may_be_written_here_too(project, annotator, client):
    a_prompt(a_project(), "Why is the sky blue?")
    client.force_login(annotator)
    client.post(reverse("prompts", args=[project.pk]), {"text": "Why is the sky blue?"})
    assert project.prompts.count() == 1


@pytest.mark.parametrize("text", ["", "  ", "a\x00b", "x" * 20_001])
def test_a_text_that_is_no_prompt_is_refused(project, annotator, client, text):
    client.force_login(annotator)
    response = client.post(reverse("prompts", args=[project.pk]), {"text": text})
    assert response.context["form"].errors["text"]
    assert not Prompt.objects.exists()


def test_the_list_is_narrowed_by_words_and_split(project, annotator, client):
    blue = a_prompt(project, "Pourquoi le ciel est bleu, où ça ?", split="train")
    a_prompt(project, "Where to travel?", split="test")
    client.force_login(annotator)
    url = reverse("prompts", args=[project.pk])
    assert list(client.get(url, {"q": "OÙ ÇA".lower()}).context["page"]) == [blue]
    assert list(client.get(url, {"split": "train"}).context["page"]) == [blue]
    assertContains(client.get(url, {"q": "zebra"}), "No prompt matches")


def test_htmx_gets_only_the_rows(project, annotator, client):
    a_prompt(project, "Why?")
    client.force_login(annotator)
    response = client.get(reverse("prompts", args=[project.pk]), headers=HTMX)
    assertNotContains(response, "<html")
    assertContains(response, "Why?")


def test_an_empty_list_says_what_to_do(project, annotator, client):
    client.force_login(annotator)
    assertContains(client.get(reverse("prompts", args=[project.pk])), "Write the first one above")


def test_prompts_come_in_pages_at_a_constant_cost(
    project, annotator, client, django_assert_max_num_queries
):
    for prompt in some_prompts(project, 60):
        a_completion(prompt)
    client.force_login(annotator)
    with django_assert_max_num_queries(9):
        first = client.get(reverse("prompts", args=[project.pk]), {"split": ""})
    assertContains(first, f"?split=&amp;after={first.context['page'].after}")
    second = client.get(first.wsgi_request.path, {"after": first.context["page"].after})
    assert len(second.context["page"]) == 10


def test_a_hostile_prompt_is_shown_as_text(project, annotator, client):
    a_prompt(project, "<script>alert(1)</script>")
    client.force_login(annotator)
    assertContains(client.get(reverse("prompts", args=[project.pk])), "&lt;script&gt;alert(1)")


def test_an_admin_edits_the_guidelines(project, admin, client):
    client.force_login(admin)
    form = {"guidelines": "Be **kind**.", "seen": mark_of(project.guidelines)}
    response = client.post(reverse("guidelines", args=[project.pk]), form, follow=True)
    assertContains(response, "<strong>kind</strong>")


def test_somebody_with_an_account_is_added_by_name(project, admin, client):
    a_user(username="mia")
    client.force_login(admin)
    form = {"username": "mia", "role": "researcher"}
    response = client.post(reverse("members", args=[project.pk]), form, follow=True)
    assertContains(response, "mia is a member now")
    assert project.memberships.get(user__username="mia").role == Role.RESEARCHER


@pytest.mark.parametrize(
    ("form", "message"),
    [
        ({"username": "ada", "role": "annotator"}, "a member already"),
        ({"username": "mia", "role": "annotator"}, "invite them instead"),
        ({"username": "ada", "role": "king"}, "not one of the available choices"),
    ],
)
def test_a_wrong_new_member_is_refused(project, admin, client, form, message):
    client.force_login(admin)
    assertContains(client.post(reverse("members", args=[project.pk]), form), message)
    assert project.memberships.count() == 1


def member_url(project, user):
    return reverse("member", args=[project.pk, project.memberships.get(user=user).pk])


def test_an_admin_changes_a_role_and_removes_a_member(project, admin, annotator, client):
    client.force_login(admin)
    url = member_url(project, annotator)
    client.post(url, {"act": "role", "role": "researcher"})
    assert project.memberships.get(user=annotator).role == Role.RESEARCHER
    client.post(url, {"act": "remove"})
    assert not project.memberships.filter(user=annotator).exists()


def test_the_last_admin_is_told_why_they_stay(project, admin, client):
    client.force_login(admin)
    response = client.post(member_url(project, admin), {"act": "remove"}, follow=True)
    assertContains(response, "only admin")


def test_another_projects_member_cannot_be_changed(project, admin, client):
    other = a_project()
    stranger = a_user(other, Role.ANNOTATOR)
    client.force_login(admin)
    foreign = other.memberships.get(user=stranger).pk
    url = reverse("member", args=[project.pk, foreign])
    assert client.post(url, {"act": "role", "role": "admin"}).status_code == 404
    assert other.memberships.get(user=stranger).role == Role.ANNOTATOR


def test_a_researcher_cannot_make_themselves_admin(project, researcher, client):
    client.force_login(researcher)
    assert (
        client.post(member_url(project, researcher), {"act": "role", "role": "admin"}).status_code
        == 404
    )


def test_members_are_listed_at_a_constant_cost(
    project, admin, client, django_assert_max_num_queries
):
    for _ in range(20):
        invite(project, Role.ANNOTATOR, by=a_user(project, Role.ANNOTATOR))
    client.force_login(admin)
    with django_assert_max_num_queries(10):
        client.get(reverse("members", args=[project.pk]))


def test_a_very_long_prompt_is_no_error(client, project):
    """17,000 signs of three bytes are more than SQLite takes for a pattern."""
    client.force_login(a_user(project, Role.ADMIN))
    url = reverse("prompts", args=[project.pk])
    answer = client.post(url, {"text": "好" * 17_000})
    assert answer.status_code == 302
    assert project.prompts.count() == 1


def test_a_project_that_is_sent_twice_at_once_is_made_once(client, db, monkeypatch):
    client.force_login(User.objects.create_superuser("root", password="correct horse battery"))
    form = {"name": "Twice", "guidelines": "g"}
    client.post(reverse("new_project"), form)
    monkeypatch.setattr(ProjectForm, "validate_unique", lambda self: None)
    answer = client.post(reverse("new_project"), form)
    assertContains(answer, "There is a project of this name already")
    assert Project.objects.count() == 1


def test_two_who_edit_the_guidelines_lose_nothing(project, admin, client):
    client.force_login(admin)
    url = reverse("guidelines", args=[project.pk])
    seen = client.get(url).context["form"]["seen"].value()
    client.post(url, {"guidelines": "First.", "seen": seen})
    answer = client.post(url, {"guidelines": "Second.", "seen": seen})
    assertContains(answer, "Somebody else changed the guidelines meanwhile")
    assertContains(answer, "First.")
    assertContains(answer, "Second.")
    project.refresh_from_db()
    assert project.guidelines == "First."
    again = {"guidelines": "Both.", "seen": answer.context["form"]["seen"].value()}
    assertRedirects(client.post(url, again), reverse("prompts", args=[project.pk]))
    project.refresh_from_db()
    assert project.guidelines == "Both."


def test_a_search_goes_on_where_the_last_one_stopped(project, annotator, client, monkeypatch):
    """Whatever is asked for, one page looks through so many prompts; following its links finds all."""
    monkeypatch.setattr(home_queries, "COUNTED", 10)
    wanted = []
    for number in range(45):
        prompt = a_prompt(project, f"{'rare' if number % 20 == 3 else 'usual'} {number}")
        wanted += [prompt] if number % 20 == 3 else []
    client.force_login(annotator)
    url, found, pages = f"{reverse('prompts', args=[project.pk])}?q=rare", [], 0
    after = ""
    while after is not None and pages < 10:
        page = client.get(f"{url}&after={after}").context["page"]
        found, after, pages = found + list(page), page.after, pages + 1
    assert found == wanted[::-1]
    assert pages == 5


def test_a_search_that_found_nothing_yet_says_that_it_can_go_on(
    project, annotator, client, monkeypatch
):
    monkeypatch.setattr(home_queries, "COUNTED", 2)
    some_prompts(project, 3)
    client.force_login(annotator)
    answer = client.get(reverse("prompts", args=[project.pk]), {"q": "nowhere"})
    assertContains(answer, "go on for older ones")
    assertContains(answer, 'rel="next"')


def test_a_search_turns_back_to_the_pages_it_came_from(project, annotator, client):
    some_prompts(project, 2 * ROWS + 5)
    client.force_login(annotator)
    url = f"{reverse('prompts', args=[project.pk])}?q=question"
    first = client.get(url).context["page"]
    second = client.get(f"{url}&after={first.after}").context["page"]
    third = client.get(f"{url}&after={second.after}").context["page"]
    assert [len(page) for page in (first, second, third)] == [ROWS, ROWS, 5]
    back = client.get(f"{url}&before={third.before}").context
    assert (list(back["page"]), back["page"].after) == (list(second), second.after)
    assert back["number"] == str(ROWS + 5)  # from there on, as when it was turned forth
    first_again = client.get(f"{url}&before={second.before}").context["page"]
    assert (list(first_again), first_again.before) == (list(first), None)


def test_a_search_reads_each_text_once_and_counts_no_further_than_it_says(
    project, annotator, client, monkeypatch
):
    some_prompts(project, 5)
    client.force_login(annotator)
    monkeypatch.setattr(home_queries, "MATCHES", 3)
    with CaptureQueriesContext(connection) as asked:
        answer = client.get(reverse("prompts", args=[project.pk]), {"q": "question"})
    assertContains(answer, "3+ prompts")
    assert sum("LIKE" in query["sql"] for query in asked) == 1


@pytest.mark.once
def test_a_frame_around_an_address_of_the_api_names_no_project(rf, researcher):
    """Whatever stands there where a page has its project's number."""
    request = rf.get("/")
    request.user = researcher
    request.resolver_match = resolve("/api/v1/projects/{}/rounds")
    assert request.resolver_match.kwargs["project_id"] == "{}"
    assert navigation(request)["nav_project"] is None
