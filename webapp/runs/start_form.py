"""The form that starts a run of any kind, drawn from its settings and from what it reads."""

import json
from collections.abc import Mapping
from typing import Any

from django import forms
from pydantic import BaseModel, ValidationError

from alignment.kinds.spec import CONFIGS, Kind
from webapp.projects.models import Project
from webapp.registry.models import Artifact, ArtifactQuerySet
from webapp.runs.forms import Topic, add_errors, drawn_fields, topics_of, values_of
from webapp.runs.kinds import ROLE_TYPES, RUN_KINDS
from webapp.runs.refusals import Asked, refusals, rewarded, split_of
from webapp.runs.startable import ITSELF, STARTABLE, Role, asked_roles, read_when


class ArtifactField(forms.ModelChoiceField):
    """A choice among the project's artifacts of one type."""

    def label_from_instance(self, artifact: Artifact) -> str:
        """Its name, and what tells it from its neighbours."""
        if artifact.type == Artifact.Type.SNAPSHOT:
            pairs = artifact.snapshot.pairs
            return f"{artifact.snapshot}: {pairs:,} pairs"
        made = f"{artifact.created_at:%d %b %H:%M}"
        learned = split_of(artifact) if artifact.type == Artifact.Type.REWARD else ""
        return f"{artifact} ({f'{learned} labels, ' if learned else ''}{made})"


def artifact_field(role: Role, artifacts: ArtifactQuerySet) -> ArtifactField:
    """The field of one role; the refusal of an empty one comes from what the settings need."""
    return ArtifactField(
        artifacts,
        label=role.title,
        help_text=role.help,
        empty_label=role.empty or None,
        required=not role.empty,
    )


class StartForm(forms.Form):
    """A single run: its name and seed, what it reads, and its settings."""

    key = forms.UUIDField(widget=forms.HiddenInput)
    name = forms.CharField(max_length=120, help_text="How lists call the run and what it makes.")
    seed = forms.IntegerField(
        initial=0, min_value=0, max_value=2**31 - 1, help_text="The same seed repeats the run."
    )

    def __init__(
        self,
        *args: Any,  # noqa: ANN401 - as Django's forms
        kind: Kind,
        project: Project,
        start: BaseModel | None = None,
        **kwargs: Any,  # noqa: ANN401
    ) -> None:
        super().__init__(*args, **kwargs)
        self.kind, self.project = kind, project
        fixed = STARTABLE[kind].fixed
        self.fields |= drawn_fields(kind, start or CONFIGS[kind](), without=fixed)
        self.fields |= {role: self._role_field(role) for role in asked_roles(kind)}
        if "evaluate-judge" in self.fields:
            offer_judges(self, project)

    def _role_field(self, role: str) -> ArtifactField:
        words, types = asked_roles(self.kind)[role], ROLE_TYPES[role]
        rows = self.project.artifacts.select_related("snapshot", "producer").order_by("-pk")
        fitting = rows.filter(type__in=types)
        if Artifact.Type.SNAPSHOT in types:
            fitting = fitting.filter(snapshot__isnull=False)
        field = artifact_field(words, fitting)
        field.when = json.dumps(read_when(self.kind, role))
        if words.topic:
            field.topic, field.advanced = words.topic, True
        return field

    def clean(self) -> dict[str, Any]:
        """Let the config itself judge the values, then look at what only makes sense together."""
        cleaned = super().clean()
        if self.errors:
            return cleaned
        try:
            self.config = CONFIGS[self.kind].model_validate(values_of(self, self.kind))
        except ValidationError as error:
            add_errors(self, error, section=self.kind)
            return cleaned
        self.inputs = self._inputs()
        for field, text in refusals(Asked(self.config, self.inputs), section=self.kind):
            self.add_error(field, text)
        return cleaned

    def _inputs(self) -> Mapping[str, Artifact]:
        """What the run reads with these settings; a reference that nobody named is the start model."""
        given, words = {}, asked_roles(self.kind)
        for role in RUN_KINDS[self.kind].roles(self.config):
            found = self.cleaned_data.get(role)
            if found is None and words[role].empty == ITSELF:
                found = self.cleaned_data["policy"]
            if found is not None:
                given[role] = found
            elif reason := self._needed(role):
                self.add_error(role, reason)
        return given

    def _needed(self, role: str) -> str:
        """Why the run cannot do without an input that is not given; empty where it can."""
        if role not in RUN_KINDS[self.kind].spared:
            return "These settings need one; choose it here."
        aimed = rewarded(self.cleaned_data["policy"])
        return (
            "Choose the reward model whose score was optimised, or should be compared."
            if aimed
            else ""
        )

    def reads(self) -> list[forms.BoundField]:
        """The fields of what the run reads, at the head of the form."""
        return [self[role] for role, words in asked_roles(self.kind).items() if not words.topic]

    def topics(self) -> list[Topic]:
        """The drawn fields by topic."""
        return topics_of(self)


def offer_judges(form: forms.Form, project: Project) -> None:
    """Offer the simulated utility only where somebody is simulated, so that it is known."""
    if not project.memberships.filter(user__simulated=True).exists():
        judge = form.fields["evaluate-judge"]
        judge.choices = [choice for choice in judge.choices if choice[0] != "utility"]
