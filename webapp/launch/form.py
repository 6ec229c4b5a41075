"""The form that starts a run of any kind, drawn from its settings and from what it reads."""

from collections.abc import Iterable, Mapping
from copy import copy
from functools import cached_property
from typing import Any, Self

from django import forms
from django.db.models import QuerySet
from django.utils.formats import date_format
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from pydantic import ValidationError

from alignment.kinds.evaluate.settings import EvaluateConfig
from alignment.kinds.kind import ITSELF, ArtifactType, Input, Kind
from alignment.seam.settings import Settings
from webapp.artifacts.models import Artifact, ArtifactQuerySet
from webapp.launch.checks import Asked, classed, coded, refusals, rewarded, split_of
from webapp.launch.memory import needed_memory, too_large
from webapp.projects.models import Project
from webapp.runs.forecasts import Ground
from webapp.runs.models import Worker
from webapp.runs.waiting import live_workers
from webapp.site.choices import FoundChoice, offer_found, share_rows
from webapp.site.fields import (
    DrawnField,
    Topic,
    add_errors,
    choices_of,
    drawn_fields,
    offer_names,
    topics_of,
    values_of,
)

SHOWN = ("project", "type", "name", "created_at")  # of an artifact, in a choice


class ArtifactField(DrawnField, FoundChoice):
    """A choice among the project's artifacts of one type."""

    types: tuple[ArtifactType, ...] = ()

    def brief(self, rows: QuerySet[Artifact]) -> QuerySet[Artifact]:
        """What tells artifacts apart: settings, summaries and manifests are long."""
        bare = rows.select_related(None)
        if ArtifactType.SNAPSHOT in self.types:
            told = ("snapshot__number", "snapshot__pairs")
            return bare.select_related("snapshot").only(*SHOWN, *told)
        if ArtifactType.REWARD in self.types:
            return bare.select_related("producer").only(*SHOWN, "producer__config")
        return bare.only(*SHOWN)

    def to_python(self, value: object) -> Artifact | None:
        """What was chosen, which is at hand where the form itself proposed it."""
        here = self.chosen if isinstance(self.chosen, Artifact) else None
        if here is not None and here.type in self.types and str(here.pk) == str(value):
            return here
        found: Artifact | None = super().to_python(value)
        return found

    def label_from_instance(self, artifact: Artifact) -> str:
        """Its name, and what tells it from its neighbours."""
        if artifact.type == Artifact.Type.SNAPSHOT:
            pairs = artifact.snapshot.pairs
            return _("{snapshot}: {n} pairs").format(snapshot=artifact.snapshot, n=f"{pairs:,}")
        made = date_format(artifact.created_at, "d M H:i")
        learned = split_of(artifact) if artifact.type == Artifact.Type.REWARD else ""
        labels = _("{split} labels, ").format(split=_(learned)) if learned else ""
        return f"{artifact} ({labels}{made})"


def artifact_field(one: Input) -> ArtifactField:
    """The field of one input; the refusal of an empty one comes from what the settings need."""
    field = ArtifactField(
        Artifact.objects.none(),
        label=_(one.title),
        help_text=_(one.help),
        empty_label=_(one.empty) if one.empty else None,
        required=not (one.empty or one.when),
    )
    field.types = one.types
    return field


class StartForm(forms.Form):
    """A single run: its name and seed, what it reads, and its settings."""

    key = forms.UUIDField(widget=forms.HiddenInput)
    name = forms.CharField(
        label=gettext_lazy("Name"),
        max_length=120,
        help_text=gettext_lazy("How lists call the run and what it makes."),
    )
    seed = forms.IntegerField(
        label=gettext_lazy("Seed"),
        initial=0,
        min_value=0,
        max_value=2**31 - 1,
        help_text=gettext_lazy("The same seed repeats the run."),
    )

    anyway = forms.BooleanField(
        required=False,
        label=gettext_lazy("Start it all the same"),
        help_text=gettext_lazy("The estimate may be wrong by a factor of two."),
    )

    def __init__(
        self,
        *args: Any,  # noqa: ANN401 - as Django's forms
        kind: Kind,
        project: Project,
        start: Settings | None = None,
        **kwargs: Any,  # noqa: ANN401
    ) -> None:
        super().__init__(*args, **kwargs)
        self.kind, self.project, self.ground = kind, project, Ground(project)
        drawn = drawn_fields(kind.name, start or kind.settings(), without=kind.fixed)
        self.fields |= drawn | {one.role: self._input_field(one) for one in kind.artifacts}
        for one in kind.artifacts:
            offer_found(self, one.role, self._fitting(one))
        for types in {one.types for one in kind.artifacts}:
            share_rows(self, [one.role for one in kind.artifacts if one.types == types])
        if (judge := f"{kind.name}-judge") in self.fields:
            offer_judges(self, project, judge)

    def filled_with(self, data: Mapping[str, object]) -> Self:
        """The same form as one that was sent with this; it has its fields in common with this one."""
        sent = copy(self)
        vars(sent).update(is_bound=True, data=data, _errors=None, _bound_fields_cache={})
        return sent

    def _fitting(self, one: Input) -> ArtifactQuerySet:
        """What the project has for an input, newest first."""
        if not self.is_bound and self.ground.types.isdisjoint(one.types):
            return Artifact.objects.none()
        rows = self.project.artifacts.select_related("snapshot", "producer").order_by("-pk")
        fitting = rows.filter(type__in=one.types)
        if ArtifactType.SNAPSHOT in one.types:
            fitting = fitting.filter(snapshot__isnull=False)
        return fitting

    def _input_field(self, one: Input) -> ArtifactField:
        field = artifact_field(one)
        field.asked = {f"{self.kind.name}-{name}": when for name, when in one.when.items()}
        if one.topic:
            field.topic, field.advanced = one.topic, True
        return field

    def clean(self) -> dict[str, Any]:
        """Let the config itself judge the values, then look at what only makes sense together."""
        super().clean()
        if self.errors:
            return self.cleaned_data
        try:
            self.config = self.kind.settings.model_validate(values_of(self, self.kind.name))
        except ValidationError as error:
            add_errors(self, error, section=self.kind.name)
            return self.cleaned_data
        self.inputs = self.given(self.kind.artifacts_read(self.config))
        if self.cleaned_data.get("code") and not getattr(self.config, "code_weight", 1):
            text = _("Give the reward from code a weight, or choose none.")
            self.add_error(f"{self.kind.name}-code_weight", text)
        for field, text in refusals(Asked(self.config, self.inputs), section=self.kind.name):
            self.add_error(field, text)
        if not (self.errors or self.cleaned_data["anyway"]):
            self._check_memory()
        return self.cleaned_data

    @cached_property
    def needed(self) -> int:
        """Bytes that the run takes, once it is known what it is to be; 0 where nobody knows."""
        return needed_memory(self.kind, Asked(self.config, self.inputs), self.ground)

    @cached_property
    def workers(self) -> list[Worker]:
        """Those that live, asked once."""
        return list(live_workers())

    def _check_memory(self) -> None:
        if reason := too_large(self.needed, self.config, self.workers):
            self.add_error("anyway", reason)

    def given(self, read: Iterable[Input]) -> Mapping[str, Artifact]:
        """What was chosen of what is read; a reference that nobody named is the start model."""
        given = {}
        for one in read:
            found = self.cleaned_data.get(one.role)
            if found is None and one.empty == ITSELF:
                found = self.cleaned_data["policy"]
            if found is not None:
                given[one.role] = found
            elif not one.optional and (reason := self._needed(one)):
                self.add_error(one.role, reason)
        return given

    def _needed(self, one: Input) -> str:
        """Why the run cannot do without an input that is not given; empty where it can."""
        if not one.spared:
            return _("These settings need one; choose it here.")
        policy = self.cleaned_data[one.spared]
        if one.role == "classifier":
            return _("Choose the classifier that tells the class.") if classed(policy) else ""
        if one.role == "code":
            return _("Choose the code that the model was aimed at.") if coded(policy) else ""
        return (
            _("Choose the reward model whose score was optimised, or should be compared.")
            if rewarded(policy)
            else ""
        )

    def reads(self) -> list[forms.BoundField]:
        """The fields of what the run reads, at the head of the form."""
        return [self[one.role] for one in self.kind.artifacts if not one.topic]

    def topics(self) -> list[Topic]:
        """The drawn fields by topic."""
        return topics_of(self)


def offer_judges(form: forms.Form, project: Project, field: str = "evaluate-judge") -> None:
    """Offer the simulated utility only where somebody is simulated, so that it is known."""
    if not project.memberships.filter(user__simulated=True).exists():
        there = choices_of(EvaluateConfig.model_fields["judge"])
        offer_names(form, field, [one for one in there if one[0] != "utility"])
