"""What the training of a model on texts reports."""

from alignment.kinds.curves import LEARNING
from alignment.kinds.pretrain.settings import OBJECTIVES
from alignment.seam.curves import Curve, Place
from alignment.seam.records import Estimate
from alignment.seam.results import ModelResults, result
from alignment.seam.words import _


class PretrainResults(ModelResults):
    """How well it learned its corpus."""

    loss: float | None = result(_("Loss"))
    perplexity_heldout: float | None = result(_("Held-out perplexity"))
    perplexity: Estimate | None = result(
        _("Perplexity of held-out documents"),
        meaning=_(
            "exp of the mean loss of their predicted tokens, of a masked model the hidden ones; the interval is over "
            "documents."
        ),
    )
    perplexity_middles: Estimate | None = result(
        _("Perplexity of held-out middles"),
        meaning=_("Of what was cut out of a document, told from what stands before and after it."),
    )
    objective: str | None = result(_("Objective"), words=OBJECTIVES)
    documents: int | None = result(_("Documents"))
    documents_heldout: int | None = result(_("Held-out documents"))
    bad_lines: int | None = result(_("Lines that could not be read"))
    tokens: int | None = result(_("Tokens learned from"))
    epochs: float | None = result(_("Epochs"))
    tokens_per_second: float | None = result(_("Tokens per second"))
    positions_used: float | None = result(_("Positions that hold a token"), share=True)
    vocabulary: int | None = result(_("Vocabulary"))
    share_chosen: float | None = result(_("Tokens that were chosen"), share=True)
    share_masked: float | None = result(_("Of the chosen, masked"), share=True)
    share_random: float | None = result(_("Of the chosen, random"), share=True)
    share_kept: float | None = result(_("Of the chosen, kept"), share=True)
    encoder: bool | None = result(_("Encoder"), aside=True)  # it reads both ways and cannot write
    cached: bool | None = result(_("Cached"))


CURVES = (*LEARNING, Curve("tokens/second", _("Tokens per second"), _("tokens / s"), Place.MORE))
