"""Settings of evaluations."""

from collections.abc import Mapping
from typing import Literal

from alignment.kinds.settings.divergences import DIVERGENCES, DivergenceName
from alignment.kinds.settings.drawing import ServedSettings
from alignment.kinds.settings.overlong import OverlongName, overlong
from alignment.kinds.settings.placement import READ_ON, PlacementName, placed
from alignment.seam.settings import Settings, setting
from alignment.seam.words import _

JudgeName = Literal["held_out_labels", "utility", "none"]
JUDGES: Mapping[JudgeName, str] = {
    "held_out_labels": _("A second reward model, of held-out labels"),
    "utility": _("The simulated utility"),
    "none": _("Nobody"),
}


ClassesName = Literal["none", "counted"]
CLASSES: Mapping[ClassesName, str] = {
    "none": _("No"),
    "counted": _("By a classifier"),
}
KnownName = Literal["none", "given"]
KNOWN: Mapping[KnownName, str] = {
    "none": _("None"),
    "given": _("Those that came with the prompts"),
}


class ComparisonSettings(Settings):
    """What is compared, who judges, and what is measured beside."""

    judge: JudgeName = setting(
        "held_out_labels",
        _("Judge"),
        help=_(
            "Who decides the win rate: a second reward model trained on labels of other prompts, "
            "the simulated utility (demo projects), or nobody."
        ),
        topic=_("Evaluation"),
        choices=JUDGES,
    )
    prompts: int = setting(
        256,
        _("Held-out prompts"),
        help=_("How many prompts of the test split are answered."),
        topic=_("Evaluation"),
        unit=_("prompts"),
        ge=8,
        le=100_000,
    )
    completions_per_prompt: int = setting(
        4,
        _("Completions per prompt"),
        help=_("Answers of each model per held-out prompt."),
        topic=_("Evaluation"),
        unit=_("completions"),
        ge=1,
        le=64,
    )
    max_new_tokens: int = setting(
        48,
        _("Completion length limit"),
        help=_("A completion that reaches the limit is cut there."),
        topic=_("Evaluation"),
        unit=_("tokens"),
        ge=1,
        le=4096,
    )
    known_answers: KnownName = setting(
        "none",
        _("Known answers"),
        help=_(
            "What held-out prompts should be answered: exact match, token F1, chrF and BLEU are measured beside them. "
            "They come with imported prompts."
        ),
        topic=_("Evaluation"),
        choices=KNOWN,
    )
    classes: ClassesName = setting(
        "none",
        _("Classes of answers"),
        help=_(
            "How probable a classifier finds each of its classes in the answers; needed where the model was "
            "aimed at a class."
        ),
        topic=_("Evaluation"),
        choices=CLASSES,
    )
    overlong: OverlongName = overlong(_("Evaluation"))
    weighed_prompts: int = setting(
        32,
        _("Prompts weighed"),
        help=_(
            "Of the held-out ones: 128 completions of each tell how far the policy is from its target."
        ),
        topic=_("Evaluation"),
        unit=_("prompts"),
        ge=1,
        le=10_000,
        advanced=True,
    )
    beta: float = setting(
        0.35,
        _("Beta"),
        help=_(
            "Of the target, where the policy does not say itself what it was aimed at: aligned ones do."
        ),
        topic=_("Evaluation"),
        unit=_("reward / nat"),
        gt=0,
        le=100,
        advanced=True,
    )
    divergence: DivergenceName = setting(
        "jensen_shannon",
        _("Divergence"),
        help=_("From the target, where the policy does not say itself which one was minimised."),
        topic=_("Evaluation"),
        advanced=True,
        choices=DIVERGENCES,
    )
    alpha: float = setting(
        0.5,
        _("Order"),
        help=_("Of the alpha divergence, where the policy does not say it itself."),
        topic=_("Evaluation"),
        ge=-3,
        le=3,
        advanced=True,
        when={"divergence": ("alpha",)},
    )


# In this order the comparison comes first.
class EvaluateConfig(ServedSettings, ComparisonSettings):
    """Policy against reference on held-out prompts, judged by someone who is not the reward."""

    placement: PlacementName = placed(READ_ON)
