"""What a config.json says a model is: one that only decodes, an encoder, or an encoder with a decoder. Torch-free.

An encoder-decoder, as T5 and BART are, reads a prompt both ways and writes its answer apart from it.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from alignment.seam.errors import DataError
from alignment.seam.modelfiles import printable, read_object

FAMILIES: Mapping[str, str] = {  # of encoder-decoders that are read here, by model_type
    "t5": "T5",
    "mt5": "mT5",
    "umt5": "umT5",
    "bart": "BART",
}


def is_encoder_decoder(config: Mapping[str, Any]) -> bool:
    """Whether a config.json describes an encoder with a decoder, of whatever family."""
    told = config.get("is_encoder_decoder", config.get("model_type") in FAMILIES)
    return bool(told) and not config.get("is_decoder")


def family_of(config: Mapping[str, Any]) -> str:
    """How people call the family of an encoder-decoder; empty of any other model."""
    kind = str(config.get("model_type"))
    return FAMILIES.get(kind, printable(kind)) if is_encoder_decoder(config) else ""


def family_in(folder: Path) -> str:
    """The same of a model's folder; empty too where no config.json can be read there."""
    try:
        return family_of(read_object(folder / "config.json"))
    except (DataError, OSError):
        return ""
