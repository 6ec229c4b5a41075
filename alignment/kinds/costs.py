"""What every kind of run reports that changes a finished model: what it costs, and what it saves.

`CostResults` is what such a kind's results add to, `COST_INPUTS` what it reads, `HELD_OUT` the prompts that
both models are compared on, and `cost_sentence` the one sentence of its page. `alignment/lab/` measures them.
"""

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from alignment.kinds.evaluate import WEIGHED, WEIGHED_ANSWERS, WEIGHED_AT_ONCE
from alignment.kinds.evaluate.settings import JUDGES
from alignment.kinds.inputs import CLASSIFIER, LABELS, POLICY, PROMPTS
from alignment.kinds.kind import NOTHING, ArtifactType, Input, Prompts
from alignment.kinds.settings.costs import CALIBRATION, COSTS, CostSettings
from alignment.kinds.settings.divergences import DIVERGENCES
from alignment.seam import memory
from alignment.seam.curves import Curve, Place
from alignment.seam.records import Estimate
from alignment.seam.results import ModelResults, result
from alignment.seam.timing import Timing
from alignment.seam.words import _, said

FEWEST = 8  # held-out prompts
READINGS = 2  # of each answer, by either model
FINEST, WIDEST = 1e-9, 1e6  # widths of intervals that are told without a power of ten
WRITTEN = {
    "people": _("Preferred answers of people"),
    "original": _("Answers of the original"),
    "hidden": _("Hidden tokens of texts"),
}


class CostResults(ModelResults):
    """A changed model beside its original, over held-out prompts."""

    kl_token: Estimate | None = result(
        _("KL from the original, a token"), meaning=_("KL(original ‖ changed) of the next token.")
    )
    kl_sequence: Estimate | None = result(
        _("KL from the original, an answer"), meaning=_("KL(original ‖ changed) of whole answers.")
    )
    perplexity_change: Estimate | None = result(
        _("Change of the perplexity"), meaning=_("As a share of the original's."), share=True
    )
    perplexity_before: Estimate | None = result(_("Perplexity before"))
    perplexity_after: Estimate | None = result(_("Perplexity after"))
    divergence_change: Estimate | None = result(
        _("Change of the divergence to the target"),
        meaning=_("After less before: what of the alignment is lost."),
    )
    divergence_before: Estimate | None = result(_("Divergence to the target before"))
    divergence_after: Estimate | None = result(_("Divergence to the target after"))
    win_rate: Estimate | None = result(
        _("Win rate against the original"), meaning=_("One half where nothing is lost."), share=True
    )
    greedy_same: Estimate | None = result(
        _("Same most probable answer"),
        meaning=_("Share of its tokens, up to the first that differs."),
        share=True,
    )
    speedup: Estimate | None = result(
        _("Faster by a factor of"), meaning=_("A forward of 4 times 32 tokens, both in turn.")
    )
    ms_before: Estimate | None = result(_("Forward before"))
    ms_after: Estimate | None = result(_("Forward after"))
    bytes_ratio: float | None = result(_("Size on disk, of the original's"), share=True)
    bytes_before: int | None = result(_("Bytes on disk before"))
    bytes_after: int | None = result(_("Bytes on disk after"))
    memory_before: int | None = result(_("Bytes in memory before"))
    memory_after: int | None = result(_("Bytes in memory after"))
    divergence_name: str | None = result(_("Divergence"), words=DIVERGENCES)
    judge: str | None = result(_("Judge"), words=JUDGES)
    perplexity_of: str | None = result(_("Perplexity is of"), words=WRITTEN)
    mismatch: float | None = result(_("Sampler and scorer differ by (nats a token)"))
    checks: list[dict[str, Any]] | None = result(_("Receipts"))
    answers: list[dict[str, Any]] | None = result(_("Most probable answers, before and after"))


COST_CURVES = (
    Curve("kl/token", _("KL from the original"), _("KL a token (nats)")),
    Curve("perplexity/change", _("Change of the perplexity"), _("share")),
    Curve("win/rate", _("Win rate against the original"), _("share"), Place.SOME),
    Curve("divergence/change", _("Change of the divergence"), _("divergence"), Place.SOME),
    Curve("seconds/step", _("Time per step"), _("seconds"), Place.MORE),
)
COST_INPUTS = (
    replace(
        POLICY,
        title=_("Model"),
        help=_("It stays as it is; the run makes a changed copy of it."),
    ),
    PROMPTS,
    Input(role="held_out", optional=True),
    replace(
        LABELS,
        help=_("The frozen labels whose preferred answers are read."),
        topic=CALIBRATION,
        empty=NOTHING,
        when={"answers": ("chosen",)},
    ),
    Input(
        role="reference",
        types=(ArtifactType.MODEL,),
        title=_("Reference"),
        help=_("What the model was kept close to when it was aligned."),
        empty=NOTHING,
        topic=COSTS,
        when={"distance": ("measured",)},
    ),
    Input(
        role="reward",
        types=(ArtifactType.REWARD,),
        title=_("Reward model"),
        help=_("The one that was optimised when the model was aligned."),
        empty=NOTHING,
        topic=COSTS,
        when={"distance": ("measured",)},
        spared="policy",
    ),
    replace(
        CLASSIFIER,
        help=_("The one whose class the model was aimed at."),
        empty=NOTHING,
        topic=COSTS,
        beside=(),
        when={"distance": ("measured",)},
        spared="policy",
    ),
    Input(
        role="judge",
        types=(ArtifactType.REWARD,),
        title=_("Judge model"),
        help=_("A reward model of labels that nothing was trained on."),
        empty=NOTHING,
        topic=COSTS,
        when={"judge": ("held_out_labels",)},
    ),
)
TRAINING, HELD_OUT = Prompts("train", 1), Prompts("test", FEWEST)


def needed_memory(shape: memory.Shape | None, completions: int, models: int = 2) -> int:
    """Bytes: original and changed model, which answer prompts."""
    if shape is None:
        return 0
    return memory.read(shape, models) + memory.sampling(shape, memory.SAMPLED_AT_ONCE * completions)


def compared_seconds(config: CostSettings, timing: Timing) -> float:
    """What it takes to let both models answer and read, and to let one of them answer what a method is fitted to."""
    limit, rows = config.max_new_tokens, config.held_out_prompts * config.completions_per_prompt
    compared = timing.writing(config.held_out_prompts, config.completions_per_prompt, limit)
    compared += READINGS * timing.reading(rows)
    if config.distance == "measured":
        compared += timing.writing(WEIGHED, WEIGHED_ANSWERS, limit, WEIGHED_AT_ONCE)
        compared += READINGS * timing.reading(WEIGHED * WEIGHED_ANSWERS)
    fitted: str = getattr(config, "answers", "own")
    prompts = min(getattr(config, "prompts", 0), timing.extent.prompts)
    own = timing.writing(prompts, config.own_answers, limit) if fitted == "own" else 0.0
    return own + 2 * compared + timing.reading(prompts * config.own_answers)


def cost_sentence(summary: Mapping[str, Any]) -> str:
    """What a changed model costs and what it saves, in one sentence; empty where nothing was measured."""
    if "kl_token" not in summary:
        return ""
    costs = {
        "kl_token": _("{found} nats a token of KL from the original"),
        "divergence_change": _("{found} of divergence to its target"),
        "perplexity_change": _("{found} of perplexity"),
        "win_rate": _("a win rate of {found} against it"),
    }
    percent = {"perplexity_change", "win_rate"}
    told = [
        said(words, found=estimate_in_words(summary[name], percent=name in percent))
        for name, words in costs.items()
        if summary.get(name)
    ]
    return said(
        _("It costs {costs}; it saves {bytes} of the bytes on disk and is {faster} times as fast."),
        costs=", ".join(told),
        bytes=f"{100 * (1 - summary['bytes_ratio']):.0f} %",
        faster=estimate_in_words(summary["speedup"]),
    )


def estimate_in_words(estimate: Mapping[str, Any], *, percent: bool = False) -> str:
    """A stored Estimate with its interval, as exactly as that allows: two digits of its width."""
    factor, unit = (100, " %") if percent else (1, "")
    value, low, high = (estimate[name] for name in ("value", "low", "high"))
    if low is None or high is None or not 0 < high - low < math.inf:
        return f"{factor * value:.3g}{unit}"
    width = factor * (high - low)
    if (
        not FINEST < width < WIDEST
    ):  # of a ruined model, say: digits by the hundred tell nobody anything
        return f"{factor * value:.3g}{unit} ({factor * low:.3g} … {factor * high:.3g})"
    digits = max(0, 1 - math.floor(math.log10(width)))
    # Adding 0 makes 0 of what was rounded to -0.
    told, below, above = (
        f"{round(factor * x, digits) + 0.0:.{digits}f}" for x in (value, low, high)
    )
    return f"{told}{unit} ({below} … {above})"
