"""Settings of runs that learn from their own completions: the steps, what is drawn, what is saved."""

from alignment.kinds.settings.computation import saved_every
from alignment.kinds.settings.overlong import OverlongName, overlong
from alignment.seam.settings import Settings, setting
from alignment.seam.words import _


class StepSettings(Settings):
    """How a policy moves."""

    steps: int = setting(
        40,
        _("Steps"),
        help=_("Optimizer steps of the policy."),
        topic=_("Training"),
        ge=1,
        le=100_000,
    )
    updates_per_step: int = setting(
        1,
        _("Updates per step"),
        help=_(
            "Optimizer updates from one step's samples; from the second on they are old, and with "
            "replay stand beside others of earlier steps."
        ),
        topic=_("Training"),
        ge=1,
        le=64,
        advanced=True,
    )
    prompts_per_step: int = setting(
        16,
        _("Prompts per step"),
        help=_("Different prompts in one step."),
        topic=_("Training"),
        unit=_("prompts"),
        ge=1,
        le=4096,
    )
    completions_per_prompt: int = setting(
        8,
        _("Completions per prompt"),
        help=_("Samples per prompt and step; the baseline needs at least two."),
        topic=_("Training"),
        unit=_("completions"),
        ge=2,
        le=1024,
    )
    learning_rate: float = setting(
        5e-4,
        _("Learning rate"),
        help=_("Peak, after the warm-up."),
        topic=_("Training"),
        gt=0,
        le=0.1,
    )
    warmup: int = setting(
        5,
        _("Warm-up"),
        help=_("Steps over which the learning rate rises to its peak."),
        topic=_("Training"),
        unit=_("steps"),
        ge=0,
        le=10_000,
        advanced=True,
    )
    decay: float = setting(
        0.5,
        _("Decay"),
        help=_(
            "Share of the steps, the last ones, over which the learning rate falls to zero, where the target "
            "is not far; 0 keeps it at its peak."
        ),
        topic=_("Training"),
        ge=0,
        le=1,
        advanced=True,
    )
    damping: bool = setting(
        default=True,
        title=_("Damp noise"),
        help=_(
            "Near the target a step is smaller where the gradients of different steps disagree: where nothing is to "
            "be learned, the policy stays where it is."
        ),
        topic=_("Training"),
        advanced=True,
    )
    max_gradient_norm: float = setting(
        1.0,
        _("Gradient clip"),
        help=_("Longest gradient applied; longer ones are scaled down."),
        topic=_("Training"),
        gt=0,
        le=1000,
        advanced=True,
    )


class SamplingSettings(Settings):
    """What is drawn, and how often that is shown and saved."""

    prompts: int = setting(
        512,
        _("Training prompts"),
        help=_("How many prompts of the train split take part."),
        topic=_("Sampling"),
        unit=_("prompts"),
        ge=1,
        le=100_000,
    )
    max_new_tokens: int = setting(
        48,
        _("Completion length limit"),
        help=_("A completion that reaches the limit is cut there."),
        topic=_("Sampling"),
        unit=_("tokens"),
        ge=1,
        le=4096,
    )
    overlong: OverlongName = overlong(_("Sampling"))
    reference_completions: int = setting(
        8,
        _("Reference completions per prompt"),
        help=_("Drawn once from the reference, for the first estimate of each prompt's Z."),
        topic=_("Sampling"),
        unit=_("completions"),
        ge=1,
        le=1024,
        advanced=True,
    )
    checkpoint_every: int = saved_every(10)
    sample_every: int = setting(
        20,
        _("Samples every"),
        help=_("Steps between the samples shown on the run page."),
        topic=_("Safety"),
        unit=_("steps"),
        ge=1,
        le=10_000,
        advanced=True,
    )
    sample_prompts: int = setting(
        8,
        _("Sample prompts"),
        help=_("How many fixed prompts the run page shows samples of."),
        topic=_("Safety"),
        unit=_("prompts"),
        ge=0,
        le=64,
        advanced=True,
    )
