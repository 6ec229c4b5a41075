"""The launch form of a round, drawn from its settings."""

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _
from pydantic import ValidationError

from alignment.kinds.settings.target import CLASSED, CODED
from webapp.artifacts.models import Artifact
from webapp.datasets.models import Snapshot
from webapp.launch.checks import steps_refused
from webapp.launch.form import offer_judges
from webapp.projects.models import Project
from webapp.rounds.config import RoundConfig
from webapp.site.choices import FoundChoice, offer_found
from webapp.site.fields import (
    Topic,
    add_errors,
    drawn_fields,
    topics_of,
    values_of,
)

# Settings of a part that follow from the round, so that nobody is asked twice.
FIXED: dict[str, tuple[str, ...]] = {
    "smaller": (),
    "reward": ("labels", "evaluate_on"),
    "align": ("stored_share", "class_name", *CLASSED, *CODED),
    "evaluate": ("beta", "divergence", "alpha", "classes"),
    "generate": (),
}
WITHOUT_REWARD = _(
    "A round trains a reward model and follows it: give it a weight, or start an alignment by itself."
)
JUDGE_HELP = _(
    "Who decides the win rate; never the reward model that was optimised. A second reward model "
    "learns from the labels of other prompts."
)


class RoundForm(forms.Form):
    """What a round starts from, and the settings of all its runs."""

    key = forms.UUIDField(widget=forms.HiddenInput)
    snapshot = FoundChoice(
        Snapshot.objects.none(),
        by="artifact__name",
        shown=("project", "number"),
        label=_("Snapshot"),
        empty_label=None,
        help_text=_("The frozen labels that the reward model learns from."),
    )
    policy = FoundChoice(
        Artifact.objects.none(),
        shown=("project", "name"),
        label=_("Start model"),
        empty_label=None,
        help_text=_("The model to align; its start is also the reference it is measured against."),
    )
    backbone = FoundChoice(
        Artifact.objects.none(),
        shown=("project", "name"),
        required=False,
        label=_("Reward model starts from"),
        empty_label=_("the start model"),
        help_text=_(
            "Another model, such as a larger one or an encoder, may learn the labels better."
        ),
    )
    seed = forms.IntegerField(
        label=_("Seed"),
        min_value=0,
        max_value=2**31 - 1,
        help_text=_("The same seed repeats the round."),
    )

    def __init__(
        self,
        *args: Any,  # noqa: ANN401 - as Django's forms
        project: Project,
        start: RoundConfig,
        **kwargs: Any,  # noqa: ANN401
    ) -> None:
        super().__init__(*args, **kwargs)
        offer_found(self, "snapshot", project.snapshots.all())
        offer_found(self, "policy", project.artifacts.models())
        offer_found(self, "backbone", project.artifacts.backbones())
        self.fields["seed"].initial = start.seed
        for section, fixed in FIXED.items():
            self.fields |= drawn_fields(section, getattr(start, section), without=fixed)
        self.fields["evaluate-judge"].help_text = JUDGE_HELP
        offer_judges(self, project)

    def clean(self) -> dict[str, Any]:
        """Let each part's config judge its values, then look at what only makes sense together."""
        super().clean()
        if self.errors:
            return self.cleaned_data
        for section in FIXED:
            self._check(section)
        if not self.errors:
            self.config = self._round_config()
            if not self.config.align.reward_weight:
                self.add_error("align-reward_weight", WITHOUT_REWARD)
            for setting, text in steps_refused(self.config.align):
                self.add_error(f"align-{setting}", text)
        return self.cleaned_data

    def _check(self, section: str) -> None:
        try:
            RoundConfig.model_validate({section: values_of(self, section)})
        except ValidationError as error:
            add_errors(self, error)

    def _round_config(self) -> RoundConfig:
        sections = {section: values_of(self, section) for section in FIXED}
        return RoundConfig.model_validate(sections | {"seed": self.cleaned_data["seed"]})

    def topics(self) -> list[Topic]:
        """The drawn fields by topic."""
        return topics_of(self)
