"""Curves that several kinds of run draw."""

from alignment.seam.curves import Curve, Place
from alignment.seam.words import _

LOSS = Curve("loss", _("Loss"), _("loss"))
PACE = (
    Curve("lr", _("Learning rate"), _("rate"), Place.MORE),
    Curve("seconds/step", _("Time per step"), _("seconds"), Place.MORE),
)
LEARNING = (LOSS, Curve("grad/norm", _("Gradient norm"), _("norm"), Place.MORE), *PACE)
ACCURACY = Curve("preference/accuracy", _("Accuracy"), _("share of pairs"))
DISTANCE = Curve("kl/reference", _("Distance from the reference"), _("KL (nats)"))
SAMPLES = Curve("ess/fraction", _("Effective samples"), _("share of samples"))
CUT = Curve("length/truncated", _("Cut at the length limit"), _("share of completions"), Place.MORE)
LENGTH = Curve("length/mean", _("Length"), _("tokens"), Place.MORE)
