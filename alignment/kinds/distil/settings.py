"""Settings of students: how large they are, and how they learn from their teacher."""

from collections.abc import Mapping
from typing import Literal

from alignment.kinds.align.settings import order
from alignment.kinds.settings.adapters import FitAdapterSettings
from alignment.kinds.settings.computation import ComputationSettings, saved_every
from alignment.kinds.settings.costs import (
    CalibrationName,
    CostSettings,
    answers_to_read,
    prompts_to_read,
)
from alignment.kinds.settings.divergences import DIVERGENCES, DivergenceName
from alignment.kinds.settings.gradient import GradientSettings
from alignment.kinds.settings.schedule import ScheduleSettings
from alignment.seam.settings import Settings, setting
from alignment.seam.words import _

DistillationName = Literal["temperature", "on_policy"]
DISTILLATIONS: Mapping[DistillationName, str] = {
    "temperature": _("The teacher's chances of the next token"),
    "on_policy": _("The student's own answers, by any divergence"),
}
STUDENT, DISTILLATION = _("Student"), _("Distillation")
TEMPERATURE, ON_POLICY = {"objective": ("temperature",)}, {"objective": ("on_policy",)}
HALF = 0  # layers


class StudentSettings(Settings):
    """How large the student is."""

    layers: int = setting(
        HALF,
        _("Layers"),
        help=_(
            "So many of the teacher's, at equal distances; with 0 half of them. A student that is given has its own."
        ),
        topic=STUDENT,
        ge=HALF,
        le=1000,
    )
    width: float = setting(
        1.0,
        _("Width"),
        help=_(
            "As a share of the teacher's, to the nearest whole head: what weighs least goes. Of GPT-2, BERT and models "
            "like Llama."
        ),
        topic=STUDENT,
        gt=0,
        le=1,
    )


class DistillationSettings(Settings):
    """What the student learns from the teacher, and for how long."""

    objective: DistillationName = setting(
        "temperature",
        _("It learns from"),
        help=_(
            "Answers that are there, at each token of which it comes near the teacher's chances; or answers that it "
            "draws itself, whose distribution comes near the teacher's: f-DPG with the teacher as the target, for a "
            "student that is near it already."
        ),
        topic=DISTILLATION,
        choices=DISTILLATIONS,
    )
    temperature: float = setting(
        2.0,
        _("Temperature"),
        help=_("Of both models' chances; the higher, the more unlikely tokens count."),
        topic=DISTILLATION,
        gt=0,
        le=100,
        when=TEMPERATURE,
    )
    answer_weight: float = setting(
        0.1,
        _("Weight of the answers"),
        help=_(
            "Of their cross-entropy, beside the teacher's chances; with 1 the teacher says nothing."
        ),
        topic=DISTILLATION,
        ge=0,
        le=1,
        when=TEMPERATURE,
    )
    divergence: DivergenceName = setting(
        "reverse_kl",
        _("Divergence"),
        help=_("What is minimised between student and teacher."),
        topic=DISTILLATION,
        choices=DIVERGENCES,
        when=ON_POLICY,
    )
    alpha: float = order(of="divergence")
    steps: int = setting(
        200, _("Steps"), help=_("Optimizer steps."), topic=DISTILLATION, ge=1, le=1_000_000
    )
    batch: int = setting(
        32,
        _("Batch"),
        help=_("Answers of each step."),
        topic=DISTILLATION,
        unit=_("answers"),
        ge=1,
        le=4096,
        when=TEMPERATURE,
    )
    prompts_per_step: int = setting(
        16,
        _("Prompts per step"),
        help=_("Different prompts in one step."),
        topic=DISTILLATION,
        unit=_("prompts"),
        ge=1,
        le=4096,
        when=ON_POLICY,
    )
    samples_per_prompt: int = setting(
        4,
        _("Samples per prompt"),
        help=_("Of the student, in each step; the baseline needs at least two."),
        topic=DISTILLATION,
        unit=_("completions"),
        ge=2,
        le=1024,
        when=ON_POLICY,
    )
    learning_rate: float = setting(
        1e-3,
        _("Learning rate"),
        help=_("Peak of the schedule; less for the student's own answers."),
        topic=DISTILLATION,
        gt=0,
        le=0.1,
    )

    @property
    def minimised(self) -> DivergenceName:
        """The divergence that is minimised."""
        return self.divergence


# In this order what is chosen comes first.
class DistilConfig(
    CostSettings,
    FitAdapterSettings,
    ComputationSettings,
    GradientSettings,
    ScheduleSettings,
    DistillationSettings,
    StudentSettings,
):
    """Distillation: a smaller model that learns from a larger one, and what that costs and saves."""

    answers: CalibrationName = answers_to_read()
    prompts: int = prompts_to_read(512)
    answers_per_prompt: int = setting(
        4,
        _("Answers per prompt"),
        help=_("Of the teacher's own; a fifth of the prompts only measures."),
        topic=_("Texts that it is fitted to"),
        unit=_("answers"),
        ge=1,
        le=64,
        when={"answers": ("own",)},
    )
    checkpoint_every: int = saved_every(100)

    @property
    def own_answers(self) -> int:
        """How many answers of the model's own are drawn to a prompt."""
        return self.answers_per_prompt
