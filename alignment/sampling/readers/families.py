"""Which models are read by our own equations; all others read for themselves."""

from collections.abc import Callable

from transformers import PreTrainedModel

from alignment.models.lora import WithoutAdapter
from alignment.sampling.readers.gpt2 import gpt2_reader
from alignment.sampling.readers.llama import llama_reader
from alignment.sampling.readers.reader import TokenReader

READERS: tuple[Callable[..., TokenReader | None], ...] = (gpt2_reader, llama_reader)


def reader_of(model: PreTrainedModel) -> TokenReader | None:
    """How to read a model's tokens fast; None where only the model itself knows what it computes.

    It reads with the adapter that the model has, or without where it is asked as the model without one.
    """
    bare = isinstance(model, WithoutAdapter)
    inner = model.base if isinstance(model, WithoutAdapter) else model
    found = (reader(inner, adapted=not bare) for reader in READERS)
    return next((reader for reader in found if reader is not None), None)
