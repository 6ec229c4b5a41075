"""How a conversation becomes tokens, and how it ends."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from jinja2 import TemplateError
from transformers.tokenization_utils_base import PreTrainedTokenizerBase

from alignment.errors import DataError

SOUGHT = "qzanswerzq"  # no template changes such an answer unless it changes every one
ASKED = "qzquestionzq"


def roles_in(turns: Sequence[Mapping[str, str]]) -> str:
    """Who speaks in a conversation, in turn."""
    return ", ".join(turn["role"] for turn in turns)


def named_ends(
    tokenizer: PreTrainedTokenizerBase, told: int | Sequence[int] | None, size: int
) -> dict[int, list[str]]:
    """The tokens that end an answer, each with all that say so; the first closes answers of somebody's.

    `told` is what a generation_config.json says, of which only what a model of so many tokens can write counts.
    """
    each = [told] if told is None or isinstance(told, int) else told
    sources = {
        "chat template": [turn_end(tokenizer)],
        "tokenizer": [tokenizer.eos_token_id],
        "generation_config.json": [one for one in each if one is not None and one < size],
    }
    found: dict[int, list[str]] = {}
    for source, ids in sources.items():
        for one in ids:
            if one is not None and one >= 0:  # some write -1 for none
                found.setdefault(int(one), []).append(source)
    return found


def turn_end(tokenizer: PreTrainedTokenizerBase) -> int | None:
    """The control token with which the template closes an answer, if it closes it with one."""
    token = closing(tokenizer).lstrip()
    known: Any = tokenizer.convert_tokens_to_ids(token) if token else None
    return None if known is None else int(known)


def closing(tokenizer: PreTrainedTokenizerBase) -> str:
    """What the template writes behind an answer, up to and with the control token that ends the turn.

    Empty where there is no template, or none that ends a turn with a token.
    """
    return _written_behind(tokenizer)[1]


def behind_an_answer(tokenizer: PreTrainedTokenizerBase) -> str | None:
    """What the template writes behind the last answer; None where it does not write the answer."""
    return _written_behind(tokenizer)[0]


def _written_behind(tokenizer: PreTrainedTokenizerBase) -> tuple[str | None, str]:
    if tokenizer.chat_template is None:
        return None, ""
    return _found_behind(tokenizer, str(tokenizer.chat_template), len(tokenizer))


@lru_cache(maxsize=32)
def _found_behind(
    tokenizer: PreTrainedTokenizerBase,
    template: str,
    size: int,
) -> tuple[str | None, str]:
    turns = [{"role": "user", "content": ASKED}, {"role": "assistant", "content": SOUGHT}]
    try:
        _, found, behind = rendered(tokenizer, turns, generation=False).rpartition(SOUGHT)
    except DataError:  # told where a conversation that is needed cannot be written
        return None, ""
    if not found:
        return None, ""
    gap = len(behind) - len(behind.lstrip())
    tokens = [token.content for token in tokenizer.added_tokens_decoder.values()]
    first = [token for token in tokens if token.strip() and behind.startswith(token, gap)]
    return behind, behind[: gap + len(max(first, key=len))] if first else ""


def rendered(
    tokenizer: PreTrainedTokenizerBase, turns: Sequence[dict[str, str]], *, generation: bool
) -> str:
    """A conversation as the chat template writes it; raises DataError where it cannot."""
    try:
        return str(
            tokenizer.apply_chat_template(
                list(turns), tokenize=False, add_generation_prompt=generation
            )
        )
    except TemplateError as error:
        reason = str(error).partition("\n")[0]
        raise DataError(
            f"The model's chat template does not work for a conversation of {roles_in(turns)}: {reason}"
        ) from error
