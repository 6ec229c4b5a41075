"""Curves that several kinds of run draw."""

from alignment.seam.curves import Curve, Place
from alignment.seam.words import _

LOSS = Curve("loss", _("Loss"), _("loss"))
PACE = (
    Curve("lr", _("Learning rate"), _("rate"), Place.MORE),
    Curve("seconds/step", _("Time per step"), _("seconds"), Place.MORE),
)
OF_LOW_RANK = (
    Curve("gradient/captured", _("Captured energy"), _("share of the gradient"), Place.SOME),
    Curve("gradient/cosine", _("Gradient and what is kept of it"), _("cosine"), Place.SOME),
    Curve("gradient/consistency", _("Halves of a batch"), _("cosine"), Place.SOME),
    Curve("optimizer/bytes", _("Optimizer's memory"), _("bytes"), Place.SOME),
    Curve("gradient/exchanged", _("Sent by each process"), _("bytes / step"), Place.SOME),
)
LOOKS = (
    Curve("heldout/loss", _("Held-out loss"), _("loss"), Place.SOME),
    Curve("heldout/accuracy", _("Held-out accuracy"), _("share of labels"), Place.SOME),
)
STEPPING = (
    Curve("grad/norm", _("Gradient norm"), _("norm"), Place.MORE),
    *PACE,
    *OF_LOW_RANK,
)
LEARNING = (LOSS, *LOOKS, *STEPPING)
ACCURACY = Curve("preference/accuracy", _("Accuracy"), _("share of pairs"))
DISTANCE = Curve("kl/reference", _("Distance from the reference"), _("KL (nats)"))
SAMPLES = Curve("ess/fraction", _("Effective samples"), _("share of samples"))
CUT = Curve("length/truncated", _("Cut at the length limit"), _("share of completions"), Place.MORE)
LENGTH = Curve("length/mean", _("Length"), _("tokens"), Place.MORE)
