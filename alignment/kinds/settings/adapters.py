"""Settings of a LoRA adapter beyond its rank."""

from collections.abc import Mapping
from typing import Literal

from alignment.seam.settings import Settings, setting
from alignment.seam.words import _

TargetsName = Literal["all_linear", "attention", "mlp"]
TARGETS: Mapping[TargetsName, str] = {
    "all_linear": _("All linear layers"),
    "attention": _("Those of the attention"),
    "mlp": _("Those between the attentions"),
}
BaseWeightsName = Literal["stored", "nf4"]
BASE_WEIGHTS: Mapping[BaseWeightsName, str] = {
    "stored": _("As they are"),
    "nf4": _("4 bits (NF4)"),
}
LORA = _("LoRA")
RANKED = ("lora_rank",)


class AdapterSettings(Settings):
    """Where an adapter sits, and how much it counts."""

    lora_targets: TargetsName = setting(
        "all_linear",
        _("LoRA layers"),
        help=_("Beside which layers of each block matrices are trained."),
        topic=LORA,
        advanced=True,
        choices=TARGETS,
        beside=RANKED,
    )
    lora_alpha: float = setting(
        0.0,
        _("LoRA alpha"),
        help=_("What an adapter adds is multiplied by alpha / rank; 0 stands for twice the rank."),
        topic=LORA,
        ge=0,
        le=10_000,
        advanced=True,
        beside=RANKED,
    )
    rslora: bool = setting(
        default=False,
        title=_("rsLoRA"),
        help=_("Divides alpha by the root of the rank instead, so that large ranks learn as fast."),
        topic=LORA,
        advanced=True,
        beside=RANKED,
    )

    @property
    def dropout(self) -> float:
        """Share of an adapter's inputs that a step leaves out."""
        return 0.0


class FitAdapterSettings(AdapterSettings):
    """The same of what learns from completions that are there already."""

    lora_dropout: float = setting(
        0.0,
        _("LoRA dropout"),
        help=_("Share of the adapter's inputs that are left out by chance, in each step others."),
        topic=LORA,
        ge=0,
        le=0.9,
        advanced=True,
        beside=RANKED,
    )

    @property
    def dropout(self) -> float:
        """Share of an adapter's inputs that a step leaves out."""
        return self.lora_dropout


class BaseWeightSettings(Settings):
    """In how many bits the layers are held that an adapter is beside."""

    base_weights: BaseWeightsName = setting(
        "stored",
        _("Base weights"),
        help=_(
            "Of the layers that stay as they are beside an adapter: in 4 bits they take an eighth of the memory, and "
            "need bitsandbytes on the worker. The result is the whole model, as it was stored, with what was learned."
        ),
        topic=LORA,
        advanced=True,
        choices=BASE_WEIGHTS,
        beside=RANKED,
    )


class KeptAdapterSettings(Settings):
    """Whether an adapter is kept by itself."""

    keep_adapter: bool = setting(
        default=False,
        title=_("Keep the adapter"),
        help=_(
            "Beside the whole model, as PEFT and servers read it; the model's page has it as one file."
        ),
        topic=LORA,
        advanced=True,
        beside=RANKED,
    )
