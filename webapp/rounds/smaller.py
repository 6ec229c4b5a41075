"""A round whose policy is made smaller before it is aligned: by which kind of run, with which settings."""

from collections.abc import Mapping
from typing import Any, Literal

from django.utils.translation import gettext_noop as _

from alignment.kinds import KINDS
from alignment.kinds.distil.settings import DistilConfig
from alignment.kinds.evaluate.settings import JudgeName
from alignment.kinds.factorise.settings import FactoriseConfig
from alignment.kinds.prune.settings import PruneConfig
from alignment.kinds.quantise.settings import QuantiseConfig, SchemeName
from alignment.seam.settings import Settings, narrowed, setting

WayName = Literal["as_it_is", "quantise", "prune", "factorise", "distil"]
WAYS: Mapping[WayName, str] = {
    "as_it_is": _("As it is"),
    "quantise": _("Smaller, in eight bits"),
    "prune": _("Smaller, with weights pruned"),
    "factorise": _("Smaller, factorised"),
    "distil": _("Smaller, a student of it"),
}
# What each way asks for; all else is as usual.
ASKED: Mapping[WayName, tuple[str, ...]] = {
    "as_it_is": (),
    "quantise": ("scheme",),
    "prune": ("sparsity",),
    "factorise": ("share",),
    "distil": ("layers", "width", "steps"),
}
HELD_OUT = 64  # prompts by which the smaller model is compared with the one it was made from


class SmallerConfig(Settings):
    """What becomes of the start model before it is aligned, and again after it where training undoes it."""

    way: WayName = setting(
        "as_it_is",
        _("The start model is aligned"),
        help=_(
            "A smaller one is made first, aligned with the start model as its reference, brought into its small form "
            "again where training has undone that, and evaluated as it will be served."
        ),
        topic=_("Size"),
        choices=WAYS,
    )
    scheme: SchemeName = narrowed(QuantiseConfig, "scheme", way=("quantise",))
    sparsity: float = narrowed(PruneConfig, "sparsity", way=("prune",))
    share: float = narrowed(FactoriseConfig, "share", way=("factorise",))
    layers: int = narrowed(DistilConfig, "layers", way=("distil",))
    width: float = narrowed(DistilConfig, "width", way=("distil",))
    steps: int = narrowed(DistilConfig, "steps", way=("distil",))

    @property
    def kind(self) -> str:
        """The kind of run that makes it smaller; empty where it stays as it is."""
        return "" if self.way == "as_it_is" else self.way

    @property
    def is_undone(self) -> bool:
        """Whether training leaves the small form, so that it has to be made once more."""
        return self.way in ("quantise", "prune", "factorise")

    def settings(self, judge: JudgeName, room: int) -> Settings:
        """The settings of that run, judged by nobody but the utility; an answer has so many tokens at most."""
        asked: dict[str, Any] = {name: getattr(self, name) for name in ASKED[self.way]}
        asked |= {"held_out_prompts": HELD_OUT, "max_new_tokens": room}
        asked |= {"judge": "utility"} if judge == "utility" else {}
        return KINDS[self.kind].settings.model_validate(asked)
