"""The page on which a project's form is composed: what annotators may say, and what was asked before."""

from collections.abc import Iterator
from typing import Any, NamedTuple

from django import forms
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_http_methods
from pydantic import ValidationError

from webapp.accounts.requests import PersonRequest
from webapp.artifacts.models import Artifact
from webapp.labeling.composition import (
    FLAG_NAMES,
    MOST_ATTRIBUTES,
    MOST_LEVELS,
    MOST_TOKENS,
    MOST_TURNS,
    Attribute,
    Composition,
    Conversing,
    composition_of,
)
from webapp.labeling.forms import FLAGS
from webapp.labeling.kinds import TASK_KINDS
from webapp.labeling.services import change_form
from webapp.projects.access import Action, project_for
from webapp.projects.errors import ProjectError
from webapp.projects.models import FormVersion, Project
from webapp.site.choices import FoundChoice, found_for, offer_found, share_rows, sought_in
from webapp.site.fields import offer_names
from webapp.site.words import Words

VERSIONS_SHOWN = 20
MODEL = Artifact.Type.MODEL
SAME_NAME = _("Two scales have the same name; quality is there already.")
SAMPLING = ("turns", "max_new_tokens", "temperature")
POINTS = {
    7: _("7: much, better, slightly, a tie, and the same for the other"),
    4: _("4: much or slightly better, no tie"),
    2: _("2: one or the other is better"),
}
RATIONALES = {
    "none": _("Not offered"),
    "optional": _("Offered, and may be left out"),
    "asked": _("Asked: no answer without one"),
}


class CompositionForm(forms.Form):
    """What a project asks, but for its scales; `seen` is the number of the form that was changed."""

    seen = forms.IntegerField(widget=forms.HiddenInput)
    kinds = forms.MultipleChoiceField(
        label=_("Kinds of task"),
        widget=forms.CheckboxSelectMultiple,
        error_messages={"required": _("Offer one kind at least.")},
        help_text=_(
            "What people are asked. Tasks of other kinds wait until their kind is offered again."
        ),
    )
    points = forms.TypedChoiceField(
        label=_("Points of a comparison"),
        coerce=int,
        choices=POINTS,
        help_text=_("“Both bad” is always beside them."),
    )
    flags = forms.MultipleChoiceField(
        label=_("Flags"),
        required=False,
        widget=forms.CheckboxSelectMultiple,
        help_text=_("Offered beside every answer, and asked by tasks about flags."),
    )
    rationale = forms.ChoiceField(label=_("A reason in words"), choices=RATIONALES)
    model = FoundChoice(
        Artifact.objects.none(),
        shown=("project", "name"),
        required=False,
        label=_("Model that answers in conversations"),
        empty_label=_("None: no conversations"),
    )
    other_model = FoundChoice(
        Artifact.objects.none(),
        shown=("project", "name"),
        required=False,
        label=_("Model of the second answer"),
        empty_label=_("The same one"),
    )
    turns = forms.IntegerField(
        label=_("Turns of a conversation at most"),
        min_value=1,
        max_value=MOST_TURNS,
        required=False,
    )
    max_new_tokens = forms.IntegerField(
        label=_("Completion length limit"), min_value=1, max_value=MOST_TOKENS, required=False
    )
    temperature = forms.FloatField(
        label=_("Temperature"), min_value=0.1, max_value=2.0, required=False
    )

    def __init__(self, *given: Any, project: Project, **named: Any) -> None:  # noqa: ANN401 - as Django's
        super().__init__(*given, **named)
        for name in ("model", "other_model"):
            offer_found(self, name, project.artifacts.filter(type=MODEL).order_by("-pk"))
        share_rows(self, ("model", "other_model"))
        offer_names(self, "kinds", [(name, kind.title) for name, kind in TASK_KINDS.items()])
        offer_names(self, "flags", [(name, FLAGS[name]) for name in FLAG_NAMES])

    @property
    def conversing(self) -> Conversing | None:
        """How models answer in conversations; None where none is chosen."""
        said = self.cleaned_data
        chosen = [said[name].pk for name in ("model", "other_model") if said.get(name)]
        if not said.get("model"):
            return None
        settings = {name: said[name] for name in SAMPLING if said.get(name) is not None}
        return Conversing(models=tuple(dict.fromkeys(chosen)), **settings)


class AttributeForm(forms.Form):
    """A scale beside quality; without a name there is none."""

    name = forms.CharField(label=_("Name"), max_length=40, required=False)
    low = forms.CharField(label=_("Lowest mark means"), max_length=40, required=False)
    high = forms.CharField(label=_("Highest mark means"), max_length=40, required=False)
    levels = forms.IntegerField(
        label=_("Marks from 1 to"), min_value=2, max_value=MOST_LEVELS, required=False, initial=7
    )

    def clean(self) -> dict[str, Any]:
        """`attribute` is the scale, None where the row is empty."""
        said = self.cleaned_data
        if not said.get("name") and (said.get("low") or said.get("high")):
            self.add_error("name", _("Give the scale a name."))
        said["attribute"] = self._attribute() if said.get("name") and not self.errors else None
        return said

    def _attribute(self) -> Attribute | None:
        fields = {name: self.cleaned_data[name] for name in ("name", "low", "high")}
        try:
            return Attribute(**fields, levels=self.cleaned_data.get("levels") or 7)
        except ValidationError:
            self.add_error("name", _("Use letters, digits and signs of one line."))
            return None


Scales = forms.formset_factory(
    AttributeForm, extra=MOST_ATTRIBUTES, max_num=MOST_ATTRIBUTES, absolute_max=MOST_ATTRIBUTES
)


class Version(NamedTuple):
    """A form as it was, for the list of them."""

    row: FormVersion
    facts: list[tuple[Words, str]]


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def compose(request: PersonRequest, project_id: int) -> HttpResponse:
    """How tasks are asked: each change is a new version, which every label given by it names."""
    project = project_for(request.user, project_id, can=Action.COMPOSE_FORM)
    before = composition_of(project)
    initial = first_shown(project, before) | sought_in(request.GET)
    form = CompositionForm(request.POST or None, initial=initial, project=project)
    if (sought := found_for(request, form)) is not None:
        return sought
    rows = [one.model_dump() for one in before.attributes]
    scales = Scales(request.POST or None, initial=rows, prefix="scales")
    valid = request.method == "POST" and form.is_valid() and scales.is_valid()
    if valid and _saved(request, project, form, scales):
        messages.success(request, _("Saved: this is how tasks are asked from now on."))
        return redirect("labeling:form", project.pk)
    context = {"project": project, "form": form, "scales": scales, "versions": _versions(project)}
    return render(request, "labeling/form.html", context)


def first_shown(project: Project, composition: Composition) -> dict[str, Any]:
    """What the form shows first: how the project asks now."""
    said = composition.model_dump(include={"points", "flags", "rationale"})
    kinds = [name for name in TASK_KINDS if composition.names(name)]
    return {**said, **_conversing(composition), "kinds": kinds, "seen": project.form_version}


def _conversing(composition: Composition) -> dict[str, Any]:
    """How models answer in conversations, as the page shows it."""
    said = composition.converse or Conversing(models=(0,))  # which shows the usual numbers
    first, *others = said.models
    fields = {name: getattr(said, name) for name in SAMPLING}
    return {"model": first or None, "other_model": others[0] if others else None, **fields}


def _saved(request: PersonRequest, project: Project, form: CompositionForm, scales: Any) -> bool:  # noqa: ANN401 - a set of forms
    """Whether what was chosen is how the project asks now; what speaks against it is said on the page."""
    said = form.cleaned_data
    attributes = tuple(row["attribute"] for row in scales.cleaned_data if row.get("attribute"))
    try:
        chosen = composed(form, attributes)
        change_form(project, chosen, seen=said["seen"], by=request.user)
    except ValidationError:
        form.add_error(None, SAME_NAME)
    except ProjectError as refusal:
        posted = request.POST.copy()
        posted["seen"] = str(Project.objects.get(pk=project.pk).form_version)
        form.data = posted  # whoever saves again has seen the newest version below
        form.add_error(None, str(refusal))
    return form.is_valid()


def composed(form: CompositionForm, attributes: tuple[Attribute, ...]) -> dict[str, Any]:
    """What a valid form and scales say, as a project keeps it; pydantic's ValidationError where two scales are alike."""
    said = form.cleaned_data
    everything = set(said["kinds"]) == set(TASK_KINDS)  # a kind that is added later too
    composition = Composition(
        kinds=() if everything else said["kinds"],
        attributes=attributes,
        converse=form.conversing,
        **{name: said[name] for name in ("points", "flags", "rationale")},
    )
    return composition.model_dump(mode="json", exclude_defaults=True)


def _versions(project: Project) -> list[Version]:
    """The newest forms; none before anything was changed."""
    rows = project.form_versions.select_related("by")[:VERSIONS_SHOWN]
    forms_then = [(row, Composition.model_validate(row.composition)) for row in rows]
    conversing = [one.converse for _row, one in forms_then if one.converse]
    models = Artifact.objects.in_bulk({pk for said in conversing for pk in said.models})
    return [Version(row, list(_facts(one, models))) for row, one in forms_then]


def _facts(composition: Composition, models: dict[int, Artifact]) -> Iterator[tuple[Words, str]]:
    """A form in words, with the models that conversations are held with."""
    kinds = [str(kind.title) for name, kind in TASK_KINDS.items() if composition.offers(name)]
    yield _("Kinds of task"), ", ".join(kinds)
    yield _("Points of a comparison"), str(composition.points)
    scales = [f"{one.title} ({one.levels})" for one in composition.scales]
    yield _("Scales"), ", ".join(scales)
    yield _("Flags"), ", ".join(str(FLAGS[name]) for name in composition.flags) or "—"
    yield _("A reason in words"), str(RATIONALES[composition.rationale])
    if said := composition.converse:
        names = [str(models[pk]) if pk in models else "—" for pk in said.models]
        yield _("Models that answer in conversations"), ", ".join(names)
        yield _("Turns of a conversation at most"), str(said.turns)
        yield _("Completion length limit"), str(said.max_new_tokens)
        yield _("Temperature"), f"{said.temperature:g}"
