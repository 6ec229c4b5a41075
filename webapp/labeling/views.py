"""The label page, and the tables of tasks and labels."""

import json
from collections.abc import Mapping
from itertools import chain
from typing import Any, NamedTuple, TypeVar
from uuid import uuid4

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.db import transaction
from django.http import HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.templatetags.static import static
from django.utils.cache import patch_vary_headers
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from webapp.accounts.models import User
from webapp.accounts.requests import PersonRequest
from webapp.labeling import checks, dispatch, panels, queries, queue, services, warned
from webapp.labeling.banding import chosen_tasks, start_banding
from webapp.labeling.bands import Band
from webapp.labeling.composition import Composition, composition_of
from webapp.labeling.forms import (
    FLAGS,
    LONGEST_RATIONALE,
    AssignmentForm,
    BandForm,
    CardsForm,
    DispatchForm,
    DraftForm,
    KeysForm,
    LabelFilter,
    LabelForm,
    MakeForm,
    SkipForm,
    TaskFilter,
    UndoForm,
)
from webapp.labeling.keys import all_keys, chosen_keys, keys_of, save_keys
from webapp.labeling.kinds import TASK_KINDS
from webapp.labeling.kinds.descriptor import Key, TaskKind
from webapp.labeling.making import TasksWanted, make_tasks, nothing_made
from webapp.labeling.models import SKIP_REASONS, Assignment, Label
from webapp.labeling.questions import LONGEST_QUESTION
from webapp.labeling.queue import Hand
from webapp.labeling.scripts import in_words, is_program, is_script, not_stored
from webapp.projects.access import Action, project_for
from webapp.projects.models import Project, with_tools
from webapp.rendering.services import rendered
from webapp.site.choices import found_for, sought_in
from webapp.site.deadlocks import again_after_deadlock
from webapp.site.htmx import render_page
from webapp.site.pages import Page, in_figures, page_of
from webapp.site.writers import in_turn

FEW = 20  # tasks that are counted for a program: more would take longer than all else
ANSWER = ("assignment", "client_id", "form", "answer", "rationale", "flags", "visible_ms")
Checked = TypeVar("Checked", bound=AssignmentForm)


class _Controls(NamedTuple):
    """What answers the tasks of one kind, with this person's keys; only those of the shown card act."""

    kind: TaskKind
    keys: list[Key]
    idle: bool

    @property
    def fields(self) -> str:
        """The names of the answer's fields."""
        return " ".join(self.kind.Answer.model_fields)

    @property
    def script(self) -> str:
        """Where the script of its cards is, if it has one."""
        return static(f"kinds/{self.kind.name}/card.js") if self.kind.script else ""


class Done(NamedTuple):
    """What came of a request: what was stored or brought back, words for the person, what they hold now."""

    label: Label | None = None
    first: Assignment | None = None  # that an undo brought back
    notice: str = ""
    refusal: str = ""
    hand: Hand = Hand([], [])
    asked: CardsForm | None = None  # what the page says of its cards


@in_words
@require_http_methods(["GET", "HEAD", "POST"])
def label(request: PersonRequest, project_id: int) -> HttpResponse:
    """Show the annotator's next pair; a POST first stores, undoes or skips the last one.

    The same address serves programs: with `Accept: application/json` it answers the next card.
    """
    project = project_for(request.user, project_id, can=Action.LABEL)
    done = Done()
    try:
        if request.method == "POST" or is_script(request):
            done = _turn(request, project)
    except services.LabelingError as error:
        done = Done(refusal=str(error))
    response = _answer(request, project, done)
    patch_vary_headers(response, ["Accept", "HX-Request"])
    return response


@in_turn
@again_after_deadlock
@transaction.atomic
def _turn(request: PersonRequest, project: Project) -> Done:
    """Do what was posted and lease what comes next, in one transaction; a person's page claims by itself."""
    queue.lock(request.user)
    done = _act(request, project) if request.method == "POST" else Done()
    if not is_script(request):
        return done
    count = panels.room_for(project, request.user, 1 if is_program(request) else queue.CARDS)
    asked = CardsForm(request.POST)
    asked.is_valid()  # as far as it makes sense
    shown = asked.cleaned_data.get("shown")
    hand = queue.fill_hand(project, request.user, count, shown=shown)
    while warned.put_aside_declined(
        project, request.user, [*hand.held, *(one.pk for one in hand.fresh)]
    ):
        hand = queue.fill_hand(project, request.user, count, shown=shown)
    return done._replace(hand=hand, asked=asked)


def _act(request: PersonRequest, project: Project) -> Done:
    """Do what was posted."""
    if "renew" in request.POST:
        return Done()
    if "undo" in request.POST:
        return _undo(request, project)
    if "skip" in request.POST:
        return _skip(_checked(SkipForm(request.POST, annotator=request.user, project=project)))
    form = _checked(LabelForm(request.POST, annotator=request.user, project=project))
    fields = {name: form.cleaned_data[name] for name in ANSWER}
    left_out = services.set_aside(fields["assignment"], form.draft)
    label = services.store_label(**fields)
    if not _is_stored(label, fields):
        raise services.LabelingError(
            _(
                "Another answer came from this page under the same name, so this one was not stored: "
                "choose again."
            )
        )
    told = checks.heard_of(label) if project.gold_every else None
    return Done(label=label, notice=_notice(label, left_out, told))


def _is_stored(label: Label, fields: dict[str, Any]) -> bool:
    """Whether the label says what was sent: an earlier one of the same name may say something else."""
    same = ("said", "rationale", "flags")
    sent = fields | {"said": fields["answer"]}
    return label.assignment_id == fields["assignment"].pk and all(
        getattr(label, name) == sent[name] for name in same
    )


def _undo(request: PersonRequest, project: Project) -> Done:
    form = UndoForm(request.POST)
    if not form.is_valid():
        return Done()
    _keep_what_was_typed(request, project)
    return Done(first=services.undo(request.user, form.cleaned_data["undo"], project=project))


def _keep_what_was_typed(request: PersonRequest, project: Project) -> None:
    """Without scripts the words about the shown pair come with the press of another button."""
    typed = DraftForm(request.POST, annotator=request.user, project=project)
    if typed.is_valid() and typed.draft.says_something:
        services.save_draft(typed.cleaned_data["assignment"], typed.draft)


def _skip(form: SkipForm) -> Done:
    fields = form.cleaned_data
    services.set_aside(fields["assignment"], form.draft)
    services.skip(fields["assignment"], fields["skip"], form.draft, skip_id=fields["client_id"])
    return Done()


def _notice(label: Label, left_out: str, told: checks.Heard | None) -> str:
    """What an answer took the place of, which its page may not have known, and whether a check was right."""
    said = [_of_check(told)] if told else []
    if label.replaced and label.replaced.answer != label.answer:
        before = label.replaced.in_words.text
        said.append(
            _("You had answered that task before, elsewhere: %(before)s. The newer answer speaks.")
            % {"before": before}
        )
    if left_out:
        said.append(
            _("Words saved elsewhere are not part of that answer: “%(words)s” Undo shows them.")
            % {"words": left_out}
        )
    return " ".join(said)


def _of_check(told: checks.Heard) -> str:
    """What somebody hears who has answered a task whose answer is known."""
    if told.right:
        said = _("That was a check, and you are right.")
    else:
        said = _("That was a check. Expected was: %(expected)s.") % {"expected": told.expected}
    return f"{said} {told.explanation}".strip()


def _checked(form: Checked) -> Checked:
    """The form, if it is valid; raises LabelingError with what it says otherwise."""
    if not form.is_valid():
        raise services.LabelingError(" ".join(map(str, chain.from_iterable(form.errors.values()))))
    return form


def _answer(request: PersonRequest, project: Project, done: Done) -> HttpResponse:
    if done.refusal and is_script(request):
        return JsonResponse({"kind": "refused", "error": done.refusal}, status=409)
    if is_program(request):
        return _card(request, project, done)
    if request.htmx:
        return _fresh_cards(request, project, done)
    if request.method == "POST" and not done.refusal:
        if done.notice:
            messages.info(request, done.notice)
        return redirect("labeling:label", project.pk)
    cards = _cards_to_see(project, request.user)
    if done.refusal:
        found = _with_what_was_typed(request, project, cards)
        if found is None:
            return not_stored(request, done.refusal, status=409)
        cards = found
    context = _page(request, project, cards) | {"refusal": done.refusal}
    return render(request, "labeling/label.html", context)


def _cards_to_see(project: Project, person: User) -> list[Assignment]:
    """What the page shows of what this person holds, or is handed out."""
    cards = queue.cards_to_see(project, person)
    while warned.put_aside_declined(project, person, [card.pk for card in cards]):
        cards = queue.cards_to_see(project, person)
    return cards if panels.room_for(project, person, len(cards)) else []


def _with_what_was_typed(
    request: PersonRequest, project: Project, cards: list[Assignment]
) -> list[Assignment] | None:
    """The pair of a refused answer first, with the words and flags that came with it.

    None where that pair cannot be shown to this person and there are words to give back.
    """
    form = DraftForm(request.POST, annotator=request.user, project=project)
    form.is_valid()
    refused = form.cleaned_data.get("assignment")
    if refused is None:
        return None if request.POST.get("rationale") else cards
    mine = queue.cards_of(request.user, [refused.pk])[0]
    mine.draft = {
        "rationale": request.POST.get("rationale", ""),
        "flags": request.POST.getlist("flags"),
        "fields": mine.task.asks.fields_of(request.POST),
    }
    return [mine, *(card for card in cards if card.pk != mine.pk)]


def _card(request: PersonRequest, project: Project, done: Done) -> JsonResponse:
    """The next card for a program."""
    held, fresh = done.hand
    first = [done.first] if done.first else queue.cards_of(request.user, held[:1])
    found = queries.with_items([*first, *fresh][:1])
    if not found:
        return JsonResponse({"assignment": None, "waiting": 0})
    (card,) = found
    return JsonResponse(
        {
            "assignment": card.pk,
            "prompt": card.task.prompt.text,
            "messages": card.task.prompt.messages,
            "kind": card.task.kind,
            "items": [completion.text for completion in card.shown],
            "waiting": len(held) + len(fresh) + queries.open_for(project, request.user, FEW),
        }
    )


def _fresh_cards(request: PersonRequest, project: Project, done: Done) -> HttpResponse:
    """The cards that the page lacks, which of its own are lost, and the receipt of what it sent.

    The page counts an answer of its own by itself: what else has changed it hears when it renews.
    """
    form, person = done.asked or CardsForm(request.POST), request.user
    have, first, (held, fresh) = form.numbers("have"), done.first, done.hand
    unknown = [pk for pk in held if pk not in have]
    wanted = queue.cards_of(person, form.numbers("want"), project)
    found = [*([first] if first else []), *queue.cards_of(person, unknown), *fresh, *wanted]
    cards = {card.pk: card for card in found if card.pk not in have}
    kept = {*held, *([first.pk] if first else [])}
    label = done.label if done.label and done.label.adds else None
    counts = {"newest": label.client_id} if label else _counts(request, project)
    context = (
        _cards(request, project, list(cards.values()))
        | counts
        | {
            "undone": first,
            "lost": [pk for pk in have if pk not in kept],
            "notice": done.notice,
            "receipt": _receipt(request),
        }
    )
    return render_page(request, "labeling/label.html", context, partial="cards")


def _receipt(request: PersonRequest) -> str:
    """What the page sent, by its own name: an answer without it is not ours, whatever its status."""
    return request.POST.get("undo") or request.POST.get("client_id") or "renew"


def _cards(request: PersonRequest, project: Project, cards: list[Assignment]) -> dict[str, object]:
    """What cards show."""
    queries.with_items(cards)
    warned.with_warnings(project, cards)
    return {
        "project": project,
        "cards": cards,
        "renderings": rendered(queries.texts_of(cards)),
        "keys": chosen_keys(request.user),
    }


def _counts(request: PersonRequest, project: Project) -> dict[str, object]:
    """How much there is to do and was done, and what an undo would take back."""
    return {
        "waiting": queries.waiting_for(project, request.user),
        "today": queries.labelled_today(request.user, project),
        "newest": queries.newest_act(request.user, project),
    }


def _page(request: PersonRequest, project: Project, cards: list[Assignment]) -> dict[str, object]:
    """All that the page shows; its first card is the one that is answered."""
    keys, acting = chosen_keys(request.user), keys_of(request.user)
    counts, form = _counts(request, project), composition_of(project)
    return (
        _cards(request, project, cards)
        | counts
        | {
            "composition": form,
            "shown": cards[:1],
            "nothing_shown": not cards,
            "in_panel": panels.is_of_panel(request.user),
            "client_id": uuid4(),
            "controls": _controls(keys, cards, form),
            "flags": {name: FLAGS[name] for name in form.flags},
            "no_flags": not form.flags,
            "no_reason": form.rationale == "none",
            "reason_asked": form.rationale == "asked",
            "reasons": SKIP_REASONS,
            "most": queries.WAITING_SHOWN,
            "nothing_done": counts["newest"] is None,
            "keys_off": not acting,
            "keys_json": json.dumps(acting),
            "shortcuts": [(keys[key.action], key.words) for key in all_keys(form)],
            "longest_rationale": LONGEST_RATIONALE,
            "longest_question": LONGEST_QUESTION,
        }
    )


def _controls(
    keys: Mapping[str, str], cards: list[Assignment], form: Composition
) -> list[_Controls]:
    """What answers each kind of task: a page may get cards of any kind later."""
    shown = cards[0].task.kind if cards else ""
    return [
        _Controls(
            kind=kind,
            keys=[key._replace(usual=keys[key.action]) for key in kind.composed_keys(form)],
            idle=name != shown,
        )
        for name, kind in TASK_KINDS.items()
    ]


@in_words
@require_POST
def draft(request: PersonRequest, project_id: int) -> HttpResponse:
    """Keep what is being written about a pair; a page asks this after a pause and when it is left."""
    project = project_for(request.user, project_id, can=Action.LABEL)
    try:
        form = _checked(DraftForm(request.POST, annotator=request.user, project=project))
        revision = services.save_draft(form.cleaned_data["assignment"], form.draft)
    except services.DraftConflict as conflict:
        return JsonResponse(_conflict(conflict), status=409)
    except services.LabelingError as refusal:
        return JsonResponse({"kind": "refused", "error": str(refusal)}, status=409)
    return JsonResponse({"revision": revision})


def _conflict(conflict: services.DraftConflict) -> dict[str, object]:
    draft = conflict.there.draft
    return {
        "kind": "conflict",
        "error": str(conflict),
        "revision": conflict.there.draft_revision,
        "rationale": draft.get("rationale", ""),
        "flags": draft.get("flags", []),
        "fields": draft.get("fields", {}),
    }


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def keys(request: PersonRequest, project_id: int) -> HttpResponse:
    """Which keys act on the label page, for this person everywhere."""
    project = project_for(request.user, project_id, can=Action.LABEL)
    off = {"off": request.user.label_keys.get("off", False)}
    form = KeysForm(request.POST or None, initial=off | chosen_keys(request.user))
    if form.is_valid():
        chosen = form.cleaned_data
        save_keys(request.user, form.chosen(chosen), off=chosen["off"])
        messages.success(request, _("Your keys are saved."))
        return redirect("labeling:label", project.pk)
    return render(request, "labeling/shortcuts.html", {"project": project, "form": form})


@login_required
@require_safe
def finished(request: PersonRequest, project_id: int) -> HttpResponse:
    """What somebody whom a crowd platform sent hands in there, once they have given all their labels."""
    project = project_for(request.user, project_id, can=Action.LABEL)
    context = {"project": project, "share": panels.share_of(project, request.user)}
    return render(request, "labeling/finished.html", context)


@login_required
@require_safe
def tasks(request: PersonRequest, project_id: int) -> HttpResponse:
    """The project's tasks, by how far they are."""
    project = project_for(request.user, project_id, can=Action.SEE_DATA)
    acts = DispatchForm(project=project, initial=sought_in(request.GET))
    if (sought := found_for(request, acts)) is not None:
        return sought
    form = TaskFilter(request.GET)
    form.is_valid()
    chosen = form.cleaned_data
    found = chosen_tasks(project, chosen).listed()
    page = page_of(found, request.GET, "priority", "key", "pk")
    context = _table(request, project, page) | {"form": form, "acts": acts, "bands": BandForm()}
    return render_page(request, "labeling/tasks.html", context, partial="rows")


@login_required
@require_POST
def dispatch_tasks(request: PersonRequest, project_id: int) -> HttpResponse:
    """Do something with the tasks that are chosen in their table."""
    project = project_for(request.user, project_id, can=Action.CHECK_LABELS)
    form = DispatchForm(request.POST, project=project)
    if form.is_valid():
        number = dispatch.change_tasks(project, by=request.user, **form.cleaned_data)
        told = ngettext("%(n)s task changed.", "%(n)s tasks changed.", number) % {"n": number}
        messages.success(request, told)
    for error in chain.from_iterable(form.errors.values()):
        messages.error(request, str(error))
    return redirect("labeling:tasks", project.pk)


@login_required
@require_POST
def move_tasks(request: PersonRequest, project_id: int) -> HttpResponse:
    """Put all tasks that the table lists into a band, as a job."""
    project = project_for(request.user, project_id, can=Action.CHECK_LABELS)
    form, listed = BandForm(request.POST), TaskFilter(request.GET)
    if not (form.is_valid() and listed.is_valid()):
        messages.error(request, _("Choose a band and which tasks, both from what is offered."))
        return redirect("labeling:tasks", project.pk)
    band = Band(form.cleaned_data["band"])
    job = start_banding(project, listed.cleaned_data, band, by=request.user)
    return redirect("jobs:detail", project.pk, job.pk)


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def make(request: PersonRequest, project_id: int) -> HttpResponse:
    """The form that makes tasks of what the project has."""
    project = project_for(request.user, project_id, can=Action.MAKE_TASKS)
    form = MakeForm(request.POST or None, project=project)
    if form.is_valid():
        made = make_tasks(project, TasksWanted(**form.cleaned_data), by=request.user)
        if made.new:
            words = ngettext("%(n)s task is made.", "%(n)s tasks are made.", made.new)
            messages.success(request, words % {"n": in_figures(made.new)})
            return redirect("labeling:tasks", project.pk)
        form.add_error(None, nothing_made(made))
    return render(request, "labeling/make.html", {"project": project, "form": form})


@login_required
@require_safe
def labels(request: PersonRequest, project_id: int) -> HttpResponse:
    """The project's labels, newest first."""
    project = project_for(request.user, project_id, can=Action.SEE_DATA)
    form = LabelFilter(request.GET, project=project)
    if (sought := found_for(request, form)) is not None:
        return sought
    form.is_valid()
    chosen = form.cleaned_data
    found = Label.objects.of_project(project).standing(chosen.get("show", ""))
    found = found.by(annotator=chosen.get("annotator"), kind=chosen.get("by", ""))
    found = found.of_kind(chosen.get("kind", ""))
    page = page_of(found, request.GET, "-pk")
    context = _table(request, project, page) | {"form": form}
    answers = [one.text for row in page for one in row.task.completions]
    spoken = [turn["content"] for row in page for turn in row.in_words.spoken]
    asked = with_tools(row.task.prompt for row in page)
    context["renderings"] = rendered([*answers, *spoken, *asked])
    return render_page(request, "labeling/labels.html", context, partial="rows")


def _table(request: PersonRequest, project: Project, page: Page[Any]) -> dict[str, Any]:
    """One page of rows, and the counts above it."""
    return {
        "project": project,
        "page": page,
        "filtered": any(request.GET.values()),
        "progress": queries.Progress(project),
        "several_kinds": len(TASK_KINDS) > 1,
    }
