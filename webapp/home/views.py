"""The home pages, and the prompts of a project with their answers."""

from collections.abc import Mapping
from itertools import chain

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpResponse, QueryDict
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from webapp.accounts.requests import PersonRequest
from webapp.home import queries
from webapp.home.advice import advice_for
from webapp.home.turns import first_turn, is_moving, newest_runs
from webapp.labeling.queries import labelled_today, waiting_for
from webapp.labeling.reviews import ask_for_reviews, with_reasons
from webapp.projects import services
from webapp.projects.access import Action, may, project_for, role_in
from webapp.projects.forms import ActForm, PromptForm, PromptSearch
from webapp.projects.models import Project, Prompt, PromptStanding, with_tools
from webapp.projects.tags import ACTS, UNDONE_BY, change_prompts, tag_prompts, tags_in
from webapp.rendering.services import rendered
from webapp.site.htmx import render_page
from webapp.site.pages import Page, count_up_to, in_figures, page_of


@login_required
@require_safe
def home(request: PersonRequest) -> HttpResponse:
    """The viewer's projects; straight to the only one, or to a first one for the admin."""
    mine = Project.objects.current().visible_to(request.user)
    first_two = list(mine[:2])
    if len(first_two) == 1:
        return redirect("project", first_two[0].pk)
    archived = Project.objects.archived().visible_to(request.user).exists()
    if not first_two and not archived and request.user.is_superuser:
        return redirect("new_project")
    page = page_of(queries.with_roles(mine, request.user.pk), request.GET, "name")
    context = {"page": page, "listed": queries.counts_of(page), "most": queries.LISTED}
    context["archived"] = archived
    return render(request, "projects/home.html", context)


@login_required
@require_safe
def archived(request: PersonRequest) -> HttpResponse:
    """The viewer's projects that are archived, with when those go that are to be deleted."""
    mine = Project.objects.archived().visible_to(request.user)
    page = page_of(mine, request.GET, "name")
    return render(request, "projects/archive.html", {"page": page})


@login_required
@require_safe
def project(request: PersonRequest, project_id: int) -> HttpResponse:
    """A project's home: what this person can do next, by their role."""
    here = project_for(request.user, project_id, can=Action.SEE_PROJECT)
    role = role_in(request.user, here)
    context = {
        "project": here,
        "waiting": waiting_for(here, request.user),
        "today": labelled_today(request.user, here),
        "still": True,
    }
    if may(role, Action.SEE_ROUNDS):
        facts = queries.facts(here)
        context |= {"facts": facts, "loop": queries.loop(here, facts)}
        turn = first_turn(here, facts, newest_runs(here))
        context |= {"turn": turn, "still": not is_moving(here, facts)}
    if may(role, Action.MANAGE_MEMBERS) and not request.htmx:  # which asks for the rest alone
        context["house"] = queries.house(here)
    return render_page(request, "projects/project.html", context, partial="live")


@login_required
@require_safe
def advice(request: PersonRequest, project_id: int) -> HttpResponse:
    """What more labels and more alignment would bring, by the project's own runs; its sentences alone for the home."""
    here = project_for(request.user, project_id, can=Action.SEE_ROUNDS)
    context = {"project": here, "advice": advice_for(here)}
    return render_page(request, "projects/advice.html", context, partial="sentences")


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def prompts(request: PersonRequest, project_id: int) -> HttpResponse:
    """The list of prompts and the form of a new one."""
    here = project_for(request.user, project_id, can=Action.WRITE_PROMPTS)
    form = PromptForm(
        request.POST or None, project=here, initial={"tags": request.GET.get("write", "")}
    )
    if form.is_valid():
        prompt, _new = services.write_prompt(here, form.messages(), by=request.user)
        for tag in tags_in(form.cleaned_data["tags"]):
            tag_prompts(here, [prompt.pk], tag)
        ask_for_reviews(prompt)
        messages.success(request, _prompt_is_in(prompt))
        return redirect("prompts", here.pk)
    search = PromptSearch(request.GET)
    asked = search.cleaned_data if search.is_valid() else {"q": "", "split": "", "tag": ""}
    context = {"project": here, "form": form, "search": search} | _found(request, here, asked)
    context |= {"acts": ActForm(), "undo": _undo_of(request.GET)}
    return render_page(request, "projects/prompts.html", context, partial="rows")


def _prompt_is_in(prompt: Prompt) -> str:
    if prompt.standing == PromptStanding.WAITING:
        return _("The prompt is in, and waits for its reviews.")
    return _("The prompt is in.")


def _found(request: PersonRequest, project: Project, asked: Mapping[str, str]) -> dict[str, object]:
    """A page of the prompts that were asked for, and how many there are."""
    tag = next(iter(tags_in(asked["tag"])), "")
    if words := asked["q"]:
        found = queries.search(project, request.GET, text=words, split=asked["split"], tag=tag)
        number = in_figures(found.number, queries.MATCHES)
        page = with_reasons(found.page)
        return _shown(page, number=number, goes_on=found.goes_on)
    prompts = queries.prompts_asked(project, split=asked["split"], tag=tag)
    page = with_reasons(page_of(queries.with_answers(prompts), request.GET, "-pk"))
    return _shown(page, number=in_figures(count_up_to(prompts)), goes_on=False)


def _shown(page: Page[Prompt], *, number: str, goes_on: bool) -> dict[str, object]:
    texts = with_tools(page)
    return {"page": page, "number": number, "goes_on": goes_on, "renderings": rendered(texts)}


@login_required
@require_POST
def act_on_prompts(request: PersonRequest, project_id: int) -> HttpResponse:
    """Do something with the prompts that are chosen in their table; the list then offers to undo it."""
    here = project_for(request.user, project_id, can=Action.MANAGE_PROMPTS)
    form, url = ActForm(request.POST), reverse("prompts", args=[here.pk])
    if not form.is_valid():
        for error in chain.from_iterable(form.errors.values()):
            messages.error(request, str(error))
        return redirect(url)
    act, tag = form.cleaned_data["act"], form.cleaned_data["tag"]
    changed = change_prompts(here, act, form.cleaned_data["prompts"], tag, by=request.user)
    told = ngettext("%(n)s prompt changed.", "%(n)s prompts changed.", len(changed))
    messages.success(request, told % {"n": len(changed)})
    if not changed or "undo" in request.POST:
        return redirect(url)
    query = QueryDict(mutable=True)
    query.update({"undo": UNDONE_BY[act], "of": tag})
    query.setlist("prompt", [str(pk) for pk in changed])
    return redirect(f"{url}?{query.urlencode()}")


def _undo_of(query: QueryDict) -> dict[str, object] | None:
    """What would undo the act that led here."""
    act, prompts = query.get("undo", ""), query.getlist("prompt")
    if act not in ACTS or not prompts:
        return None
    return {"act": act, "tag": query.get("of", ""), "prompts": prompts}
