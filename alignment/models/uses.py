"""What a config.json says a model can be used as, before any weight is read."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from transformers.models.auto.modeling_auto import (
    MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
    MODEL_FOR_MASKED_LM_MAPPING_NAMES,
    MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES,
)

from alignment.seam.architectures import FAMILIES, family_of, is_encoder_decoder
from alignment.seam.errors import DataError
from alignment.seam.modelfiles import Tensors, printable, read_object
from alignment.seam.words import _

# It writes, is only read by, fills in what is hidden, tells classes of texts, of words, or parts of a text, or rates.
Use = Literal["policy", "backbone", "masked", "classifier", "tagger", "answerer", "rater"]

CLASS_HEADS: Mapping[str, str] = {
    "classifier": "ForSequenceClassification",
    "tagger": "ForTokenClassification",
    "answerer": "ForQuestionAnswering",
    "rater": "ForSequenceClassification",
}
WRITERS = (
    "ForCausalLM",
    "LMHeadModel",
    "ForConditionalGeneration",
)  # ends of names of such classes
FLOATS = {"F64", "F32", "F16", "BF16"}


def check_type(folder: Path, config: dict[str, Any], use: Use) -> None:
    """Raise DataError where config.json is of no model that can do this."""
    kind, masked = str(config.get("model_type")), is_masked(folder)
    usually = {"is_encoder_decoder": kind in MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES}
    if is_encoder_decoder(usually | config):
        check_family(usually | config, use)
    elif kind not in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES and not masked:
        raise DataError(
            _(
                "config.json says “{kind}”, which is no causal and no masked language model known "
                "here."
            ).format(kind=printable(kind))
        )
    if use == "policy" and masked:
        raise DataError(
            _(
                "config.json says “{kind}”, an encoder: it reads and cannot write. It can be the "
                "backbone of a reward model."
            ).format(kind=printable(kind))
        )
    if use == "masked" and not masked:
        raise DataError(
            _(
                "config.json says “{kind}”, which writes; hidden tokens are told by an encoder, such as BERT."
            ).format(kind=printable(kind))
        )
    check_head(config, use)


def check_family(config: Mapping[str, Any], use: Use) -> None:
    """Raise DataError where an encoder-decoder is of no family known here, or should be an encoder."""
    if config.get("model_type") not in FAMILIES:
        raise DataError(
            _(
                "config.json says “{kind}”, an encoder with a decoder; of these {families} are used here."
            ).format(kind=family_of(config), families=", ".join(FAMILIES.values()))
        )
    if use in CLASS_HEADS:
        raise DataError(
            _(
                "config.json says “{kind}”, an encoder with a decoder; classes are told by an encoder or by a "
                "model that only decodes."
            ).format(kind=family_of(config))
        )
    if use == "masked":
        raise DataError(
            _(
                "config.json says “{kind}”, an encoder with a decoder, which learns texts by span corruption; "
                "hidden tokens are told by an encoder, such as BERT."
            ).format(kind=family_of(config))
        )


def check_head(config: Mapping[str, Any], use: Use) -> None:
    """Raise DataError where a model that should write has no head for it."""
    named = [str(name) for name in config.get("architectures") or []]
    if use in CLASS_HEADS and not any(name.endswith(CLASS_HEADS[use]) for name in named):
        raise DataError(
            _(
                "config.json says “{named}”, which has no head for classes; train a classifier on it."
            ).format(named=printable(named[0] if named else str(config.get("model_type"))))
        )
    if use == "policy" and named and not any(writes(name) for name in named):
        raise DataError(
            _(
                "config.json says “{named}”, which has no head that writes; save the language model "
                "it came from."
            ).format(named=printable(named[0]))
        )


def writes(architecture: str) -> bool:
    """Whether a class of this name is a language model."""
    names: Any = MODEL_FOR_CAUSAL_LM_MAPPING_NAMES.values()
    return architecture in names or architecture.endswith(WRITERS)


def check_precision(config: Mapping[str, Any], tensors: Tensors) -> None:
    """Raise DataError where weights are rounded to so few bits that only special code reads them."""
    if config.get("quantization_config"):
        raise DataError(
            _("config.json says the weights are quantised; add the full-precision model.")
        )
    foreign = sorted(tensors.of_weights - FLOATS)
    if foreign:
        raise DataError(
            _(
                "The weights are stored as {foreign}, so they are quantised; add the full-precision "
                "model."
            ).format(foreign=", ".join(foreign))
        )


def is_masked(folder: Path) -> bool:
    """Whether config.json describes an encoder such as BERT: it reads both ways and cannot write."""
    config = read_object(folder / "config.json")
    written = config.get("is_decoder") or is_encoder_decoder(config)
    return config.get("model_type") in MODEL_FOR_MASKED_LM_MAPPING_NAMES and not written
