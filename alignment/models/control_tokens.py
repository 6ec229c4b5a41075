"""Control tokens: what a tokenizer knows beside text, and texts that only look like them.

A text in which `<|im_end|>` stands is a text. Where one does, a conversation is read by a copy of the tokenizer
in which every control token has another name, which nobody can guess: the template's own are written by
these names, so what is left of the old ones is text.
"""

import json
import re
import secrets
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from typing import Any

from tokenizers import AddedToken, Tokenizer
from transformers.tokenization_utils_base import PreTrainedTokenizerBase

from alignment.seam.errors import DataError
from alignment.seam.records import PromptRecord
from alignment.seam.words import _

ENCLOSED = re.compile(r"[^\w\s].*\w.*[^\w\s]", re.DOTALL)  # <think> or [TOOL]: no word, no gap
WORD = re.compile(r"\w+")
SIGNS = range(0x12000, 0x12360)  # letters of cuneiform: no normaliser changes or drops one
PRIVATE = 0xF0000  # signs from here on stand for what is in a text while a template writes it


@dataclass(frozen=True)
class Controls:
    """The control tokens of a tokenizer."""

    ids: frozenset[int]
    pattern: re.Pattern[str]  # any of them in a text
    spoken: frozenset[str]  # those that a model writes into its answers, as <think> and </think>
    unknown: str  # what stands for all that the tokenizer has no token for, if something does

    def held(self, role: str, text: str) -> list[str]:
        """Those that stand in a text of this speaker's, where they are text."""
        spoken = self.spoken if role == "assistant" else ()
        return [found for found in self.pattern.findall(text) if found not in spoken]


@dataclass(frozen=True)
class Renamed:
    """A tokenizer whose control tokens have other names."""

    tokenizer: Tokenizer
    names: Mapping[str, str]  # of the control tokens, by those that people know
    pattern: re.Pattern[str]  # any of the names
    controls: Controls

    def named(self, text: str) -> str:
        """A text that means its control tokens."""
        return self.controls.pattern.sub(lambda found: self.names[found[0]], text)

    def said(self, role: str, text: str) -> str:
        """A text of this speaker's, which means those alone that such a speaker writes."""
        if role != "assistant" or not self.controls.spoken:
            return text
        return self.controls.pattern.sub(self._spoken, text)

    def known(self, text: str) -> str:
        """A text with the names that people know."""
        names = {new: old for old, new in self.names.items()}
        return self.pattern.sub(lambda found: names[found[0]], text)

    def read(self, text: str) -> list[int]:
        """Its tokens. A control token that the tokenizer does not find where it stands is text, as in serving."""
        found = self.tokenizer.encode(text, add_special_tokens=False)
        every = zip(found.offsets, found.ids, strict=True)
        places = [span for span, token in every if token in self.controls.ids]
        meant = [match.span() for match in self.pattern.finditer(text)]
        if len(places) == len(meant):
            return found.ids
        lost = [span for span in meant if not any(overlap(span, place) for place in places)]
        for start, end in reversed(lost):
            text = text[:start] + self.known(text[start:end]) + text[end:]
        return self.tokenizer.encode(text, add_special_tokens=False).ids

    def _spoken(self, found: re.Match[str]) -> str:
        return self.names[found[0]] if found[0] in self.controls.spoken else found[0]


Held = Callable[[str, str], Sequence[str]]  # the control tokens in a speaker's text


def counted(
    held: Held, prompts: Iterable[PromptRecord], answers: Iterable[str] = ()
) -> dict[str, int]:
    """How many prompts and how many answers hold control tokens, where some do.

    They are read as text here, and many servers take them for what they say.
    """
    each = {prompt.key: prompt.messages for prompt in prompts}
    found = {
        "prompts_with_control_tokens": sum(
            any(held(turn.role, turn.content) for turn in turns) for turns in each.values()
        ),
        "answers_with_control_tokens": sum(bool(held("assistant", text)) for text in answers),
    }
    return {name: count for name, count in found.items() if count}


def controls(tokenizer: PreTrainedTokenizerBase) -> Controls:
    """The control tokens of a tokenizer; asked for every text, so remembered."""
    return _controls(tokenizer, len(tokenizer), tokenizer.eos_token)


@lru_cache(maxsize=16)
def _controls(
    tokenizer: PreTrainedTokenizerBase,
    size: int,
    end: str | None,
) -> Controls:
    kept = {tokenizer.bos_token, tokenizer.eos_token}
    added = {
        place: token
        for place, token in tokenizer.added_tokens_decoder.items()
        if is_control(token) or token.content in kept
    }
    plain = {token.content for token in added.values() if not token.special}
    spoken = {
        both for name in plain for both in (name, partner(name)) if both and partner(name) in plain
    }
    unknown = tokenizer.unk_token or ""
    return Controls(
        frozenset(
            place for place, token in added.items() if token.content != unknown or unknown in kept
        ),
        alternatives(list(added.values())),
        frozenset(spoken),
        unknown if any(token.content == unknown for token in added.values()) else "",
    )


def is_control(token: AddedToken) -> bool:
    """Whether an added token is more than a word or a gap that the vocabulary lacked."""
    if token.special:
        return not (WORD.fullmatch(token.content) or token.content.isspace())
    return ENCLOSED.fullmatch(token.content) is not None


def partner(name: str) -> str:
    """What closes what this opens: </think> for <think>; "" where it opens nothing."""
    return f"{name[0]}/{name[1:]}" if name[:1] in "<[" and name[1:2] != "/" else ""


def alternatives(tokens: Sequence[AddedToken]) -> re.Pattern[str]:
    """What finds any of the tokens in a text, the longest first, as tokenizers do."""
    if not tokens:
        return re.compile(r"(?!)")
    longest = sorted(tokens, key=lambda token: len(token.content), reverse=True)
    each = [
        rf"(?<!\w){re.escape(token.content)}(?!\w)"
        if token.single_word
        else re.escape(token.content)
        for token in longest
    ]
    first = "".join(re.escape(letter) for letter in sorted({t.content[0] for t in tokens}))
    return re.compile(f"(?=[{first}])(?:{'|'.join(each)})")


def renamed(tokenizer: PreTrainedTokenizerBase) -> Renamed:
    """The tokenizer with other names for its control tokens; raises DataError where none can be made."""
    return _renamed(tokenizer, controls(tokenizer))


@lru_cache(maxsize=8)
def _renamed(tokenizer: PreTrainedTokenizerBase, known: Controls) -> Renamed:
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        raise DataError(
            _(
                "A text holds a control token, and this kind of tokenizer cannot read it as text; "
                "leave out the texts that do, or take a model with a tokenizer.json."
            )
        )
    described = json.loads(backend.to_str())
    names = secret_names(
        [
            one["content"]
            for one in described["added_tokens"]
            if known.pattern.fullmatch(one["content"])
        ]
    )
    rename(described, names)
    copy = Tokenizer.from_str(json.dumps(described))
    assert all(copy.token_to_id(new) == backend.token_to_id(old) for old, new in names.items())
    return Renamed(copy, names, re.compile("|".join(names.values()) or r"(?!)"), known)


def written_apart(
    copy: Renamed, turns: Sequence[dict[str, Any]], write: Callable[[Sequence[dict[str, Any]]], str]
) -> str:
    """What a template writes of these turns, its control tokens by their names, those of texts as text.

    Most templates write a text as it is, or without the gaps around it: what they write around signs that
    stand for the texts is theirs. Others look into a text, and get it with signs for control tokens.
    """
    real, signs = write(turns), free_signs(turns, len(turns))
    framed = write([{**turn, "content": sign} for turn, sign in zip(turns, signs, strict=True)])
    for clean in (str, str.strip):
        texts = [clean(turn["content"]) for turn in turns]
        if put(framed, signs, texts) == real:
            said = [copy.said(turn["role"], text) for turn, text in zip(turns, texts, strict=True)]
            return put(copy.named(framed), signs, said)
    known = copy.controls
    held = sorted({one for turn in turns for one in known.held(turn["role"], turn["content"])})
    hidden = dict(zip(held, free_signs(turns, len(held)), strict=True))
    marked = [{**turn, "content": hide(known, turn, hidden)} for turn in turns]
    return put(copy.named(write(marked)), list(hidden.values()), held)


def free_signs(turns: Sequence[Mapping[str, Any]], number: int) -> list[str]:
    """So many signs that no text holds."""
    letters = {letter for turn in turns for value in turn.values() for letter in str(value)}
    free = (sign for sign in map(chr, range(PRIVATE, sys.maxunicode)) if sign not in letters)
    return list(islice(free, number))


def put(text: str, signs: Sequence[str], texts: Sequence[str]) -> str:
    """A text with others in place of signs."""
    return text.translate({ord(sign): other for sign, other in zip(signs, texts, strict=True)})


def hide(known: Controls, turn: Mapping[str, Any], signs: Mapping[str, str]) -> str:
    """A turn's text with signs in place of its control tokens, but for those that its speaker writes."""
    kept = known.spoken if turn["role"] == "assistant" else frozenset()

    def sign(match: re.Match[str]) -> str:
        return match[0] if match[0] in kept else signs[match[0]]

    return known.pattern.sub(sign, turn["content"])


def overlap(one: tuple[int, int], other: tuple[int, int]) -> bool:
    """Whether two places of a text have a letter in common."""
    return one[0] < other[1] and other[0] < one[1]


def secret_names(tokens: Sequence[str]) -> dict[str, str]:
    """Names that no text holds, each of some signs that this process alone knows."""
    start = "".join(chr(secrets.choice(SIGNS)) for _ in range(8))
    base = len(SIGNS)
    return {
        token: start + chr(SIGNS[place // base]) + chr(SIGNS[place % base])
        for place, token in enumerate(tokens)
    }


def rename(described: dict[str, Any], names: Mapping[str, str]) -> None:
    """Change names in what a tokenizer.json says, and drop what puts tokens around a text or cuts it."""
    for token in described["added_tokens"]:
        token["content"] = names.get(token["content"], token["content"])
    model = described["model"]
    vocabulary = model["vocab"]
    if isinstance(vocabulary, dict):
        model["vocab"] = {names.get(piece, piece): place for piece, place in vocabulary.items()}
    else:
        model["vocab"] = [[names.get(piece, piece), score] for piece, score in vocabulary]
    if model.get("unk_token") in names:
        model["unk_token"] = names[model["unk_token"]]
    if "merges" in model:
        model["merges"] = [
            both for both in model["merges"] if not {*both, "".join(both)} & names.keys()
        ]
    described.update(post_processor=None, truncation=None, padding=None)
