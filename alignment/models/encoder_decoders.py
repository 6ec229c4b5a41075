"""Encoder-decoders: what their decoder begins with, and how a conversation becomes tokens for them.

The encoder reads the prompt between the marks that the tokenizer puts around every text; the answer is a text by
itself, up to and with its end.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from transformers.tokenization_utils_base import PreTrainedTokenizerBase

from alignment.models import conversations
from alignment.models.conversations import Answered, text_ids
from alignment.seam.errors import DataError
from alignment.seam.records import Message
from alignment.seam.words import _

STARTS = ("decoder_start_token_id", "bos_token_id")  # as transformers looks for them
FORCED = "forced_bos_token_id"  # what generation puts behind the start, and nobody draws


class Tokenization(NamedTuple):
    """How conversations become the tokens that a model reads, and those that it writes."""

    prompt_ids: Callable[[PreTrainedTokenizerBase, Sequence[Message]], list[int]]
    answered: Callable[[PreTrainedTokenizerBase, Sequence[Message], str], Answered]
    all_answered: Callable[
        [PreTrainedTokenizerBase, Sequence[Sequence[Message]], Sequence[str]], list[Answered]
    ]
    check: Callable[[PreTrainedTokenizerBase], dict[str, str]]  # what a model's page says of it


def tokenization_of(*, apart: bool) -> Tokenization:
    """That of an encoder-decoder, or of a model that reads prompt and answer in one."""
    if apart:
        return Tokenization(encoder_ids, answered_apart, all_answered_apart, check_answers)
    return Tokenization(
        conversations.prompt_ids,
        conversations.answered,
        conversations.all_answered,
        conversations.check_conversation,
    )


def reads_apart(model: Any) -> bool:  # noqa: ANN401 - a model, or what stands for one
    """Whether a model is an encoder with a decoder."""
    return bool(model.config.is_encoder_decoder)


def starts_of(model: Any) -> tuple[int, ...]:  # noqa: ANN401 - as above
    """The tokens that a decoder reads before an answer; raises DataError where they are no tokens of the model.

    generation_config.json decides, then config.json, as in transformers.
    """
    start = next((found for name in STARTS if (found := _told(model, name)) is not None), None)
    if start is None:
        raise DataError(
            _(
                "Nothing says with which token an answer begins: config.json has no "
                "decoder_start_token_id. T5 begins with its pad token, BART with its end token."
            )
        )
    forced = _told(model, FORCED)
    found = (start,) if forced is None else (start, forced)
    size = int(model.config.vocab_size)
    for one in found:
        if type(one) is not int or not 0 <= one < size:
            raise DataError(
                _(
                    "An answer is said to begin with the token {one}, and there are {size:,}."
                ).format(one=str(one)[:40], size=size)
            )
    return found


def _told(model: Any, name: str) -> Any:  # noqa: ANN401 - foreign JSON
    for source in (getattr(model, "generation_config", None), model.config):
        if (found := getattr(source, name, None)) is not None:
            return found
    return None


def encoder_ids(tokenizer: PreTrainedTokenizerBase, messages: Sequence[Message]) -> list[int]:
    """The conversation as the encoder reads it."""
    return [*conversations.prompt_ids(tokenizer, messages), *last_tokens(tokenizer)]


def answered_apart(
    tokenizer: PreTrainedTokenizerBase, messages: Sequence[Message], answer: str
) -> Answered:
    """A conversation that somebody answered; nothing closes the answer yet."""
    return Answered(encoder_ids(tokenizer, messages), text_ids(tokenizer, answer), closed=False)


def all_answered_apart(
    tokenizer: PreTrainedTokenizerBase, asked: Sequence[Sequence[Message]], answers: Sequence[str]
) -> list[Answered]:
    """Many conversations, each as `answered_apart` gives it."""
    return [answered_apart(tokenizer, *row) for row in zip(asked, answers, strict=True)]


@lru_cache(maxsize=16)
def last_tokens(tokenizer: PreTrainedTokenizerBase) -> tuple[int, ...]:
    """What the tokenizer puts behind a text."""
    found = tokenizer("a", return_special_tokens_mask=True)
    ids, mask = found["input_ids"], found["special_tokens_mask"]
    count = next((place for place, mark in enumerate(reversed(mask)) if not mark), 0)
    return tuple(ids[len(ids) - count :])


def check_answers(tokenizer: PreTrainedTokenizerBase) -> dict[str, str]:
    """What a model's page says about its conversations; raises DataError where what was written is read otherwise.

    What a tokenizer has no tokens for is lost once, and gaps do not count.
    """
    for answer in conversations.ANSWERS:
        once = conversations.answer_text(tokenizer, text_ids(tokenizer, answer))
        twice = conversations.answer_text(tokenizer, text_ids(tokenizer, once))
        if conversations.squeezed(once) != conversations.squeezed(twice):
            raise DataError(
                _(
                    "The model's tokenizer does not read an answer as it writes it: {once!r} becomes "
                    "{twice!r}."
                ).format(once=once[-80:], twice=twice[-80:])
            )
    form = conversations.form_of(tokenizer)
    marks = "".join(map(str, tokenizer.convert_ids_to_tokens(list(last_tokens(tokenizer)))))
    ends = conversations.ends_in_words(tokenizer, form)
    return {
        "turn_closes_with": conversations.closes_in_words(tokenizer, form),
        "prompt_ends_with": f"{ends}, then {marks}" if marks else ends,
    }
