"""How a conversation becomes tokens, and how it ends.

A prompt is what serving reads: the chat template with its generation prompt, or the plain form, where a model
without a template answers after "Assistant:". An answer from outside is learned from as the conversation the
template writes with it, tokenised in one and divided where the prompt ends, up to and with the token that
ends the turn. All content is text: only the template writes control tokens.
"""

import re
import string
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache, partial
from itertools import product, takewhile
from types import MappingProxyType
from typing import Any, NamedTuple

from transformers.tokenization_utils_base import PreTrainedTokenizerBase

from alignment.foreign import templates
from alignment.models.control_tokens import (
    Controls,
    Renamed,
    controls,
    partner,
    renamed,
    written_apart,
)
from alignment.models.conversation_turns import Turns, as_templates_read, check_tools, turns_of
from alignment.seam.errors import DataError
from alignment.seam.records import Message
from alignment.seam.words import _

TURN = "Assistant:"  # after which a model without a template answers
SOUGHT = "qzanswerzq"  # no template changes such an answer unless it changes every one
ASKED = "qzquestionzq"
OPENED = re.compile(r"[<\[][A-Za-z][\w-]*[>\]]\s*\Z")  # a mark that opens what follows it
CONTEXT = 8  # letters, at most, of what stands before an answer that decide how it is tokenised

TRIED = (
    (("user", "Hello"),),
    (("user", "Hello"), ("assistant", "Yes?"), ("user", "Good day")),
)
ANSWERS = ("Good day", " Yes,\nit is. ", "yes <x>")  # of a check


class Answered(NamedTuple):
    """A conversation with an answer, as tokens; whether its last one is the template's own turn end."""

    prompt: list[int]
    completion: list[int]
    closed: bool


@dataclass(frozen=True)
class Form:
    """What a chat template writes around an answer, found by an answer that nobody gives."""

    behind: str | None  # the answer; None where the template does not write it, or takes none
    closing: str  # what of it closes the turn, up to and with a control token; "" without one
    header: str = ""  # what it writes between prompt and answer, as it is decoded
    header_marks: tuple[int, ...] = ()  # the special tokens in there
    opened: str = ""  # the end of the generation prompt, where it is left out before an answer
    opens: str = ""  # the mark with which the generation prompt opens a thought
    alone: bool = False  # it writes no question before an answer

    @property
    def gap(self) -> str:
        """What stands between an answer and the token that closes it."""
        return self.closing[: len(self.closing) - len(self.closing.lstrip())]


@dataclass(frozen=True)
class _Reader:
    """Writes conversations and reads them as tokens, by a renamed tokenizer where texts hold control tokens."""

    tokenizer: PreTrainedTokenizerBase
    renamed: Renamed | None = None
    written: Mapping[Turns, str] = field(default_factory=dict)  # conversations with an answer

    def write(self, turns: Turns, *, generation: bool) -> str:
        """A conversation as the template or the plain form writes it."""
        if not generation and turns in self.written:
            return self.written[turns]
        said = as_templates_read(turns)
        if self.renamed is None:
            return written_out(self.tokenizer, said, generation=generation)
        write = partial(written_out, self.tokenizer, generation=generation)
        return written_apart(self.renamed, said, write)

    def read(self, text: str) -> list[int]:
        """Its tokens, none added."""
        if self.renamed is not None:
            return self.renamed.read(text)
        return list(self.tokenizer(text, add_special_tokens=False)["input_ids"])

    def named(self, text: str) -> str:
        """What the template says, in this reader's names."""
        return self.renamed.named(text) if self.renamed else text

    def known(self, text: str) -> str:
        """A text in the names that people know."""
        return self.renamed.known(text) if self.renamed else text

    def said(self, answer: str) -> str:
        """What an answer says, in this reader's names."""
        return self.renamed.said("assistant", answer) if self.renamed else answer


class _Asked(NamedTuple):
    """A prompt as serving reads it."""

    ids: tuple[int, ...]
    beginning: int  # how many of them the tokenizer puts before every text
    text: str  # as this reader writes it
    reader: _Reader


def prompt_ids(tokenizer: PreTrainedTokenizerBase, messages: Sequence[Message]) -> list[int]:
    """The conversation as a model with this tokenizer reads it, up to where its answer begins."""
    return list(_asked(tokenizer, turns_of(messages)).ids)


def answered(
    tokenizer: PreTrainedTokenizerBase, messages: Sequence[Message], answer: str
) -> Answered:
    """A conversation that somebody answered; raises DataError where the template does not write answers."""
    return _answered(tokenizer, turns_of(messages), answer)


def all_answered(
    tokenizer: PreTrainedTokenizerBase, asked: Sequence[Sequence[Message]], answers: Sequence[str]
) -> list[Answered]:
    """Many conversations, each as `answered` gives it: the template is asked once for all of them."""
    rows = list(zip(map(turns_of, asked), answers, strict=True))
    written = _written(tokenizer, [(*turns, ("assistant", answer)) for turns, answer in rows])
    return [_answered(tokenizer, turns, answer, written) for turns, answer in rows]


def _written(
    tokenizer: PreTrainedTokenizerBase, conversations: Sequence[Turns]
) -> dict[Turns, str]:
    """What the template writes of them, where that is what is read."""
    form = form_of(tokenizer)
    if tokenizer.chat_template is None or form.behind is None or form.opens or form.alone:
        return {}
    said = list(map(as_templates_read, conversations))
    special = tokenizer.special_tokens_map
    found = templates.render_all(tokenizer.chat_template, said, special=special, generation=False)
    return dict(zip(conversations, found, strict=True))


def _answered(
    tokenizer: PreTrainedTokenizerBase,
    turns: Turns,
    answer: str,
    written: Mapping[Turns, str] = MappingProxyType({}),
) -> Answered:
    prompt = _asked(tokenizer, turns)
    if written and prompt.reader.renamed is None:
        prompt = prompt._replace(reader=replace(prompt.reader, written=written))
    if prompt.reader.renamed is None and not controls(tokenizer).held("assistant", answer):
        found = _joined(prompt.reader, prompt, turns, answer)
        whole = (*turns, ("assistant", answer))
        if not misread(tokenizer, whole, [*found.prompt, *found.completion]):
            return found
    reader = prompt.reader if prompt.reader.renamed else _Reader(tokenizer, renamed(tokenizer))
    return _joined(reader, prompt, turns, answer)


def check_conversation(tokenizer: PreTrainedTokenizerBase) -> dict[str, str]:
    """What a model's page says about its conversations; raises DataError where none can be learned from.

    What is learned from, decoded, has to be what the template writes, and what was sampled, read back, the
    same conversation.
    """
    for turns, answer in product(taken(tokenizer), ANSWERS):
        found = _answered(tokenizer, turns, answer)
        ids = found.completion[:-1] if found.closed else found.completion
        text = answer_text(tokenizer, ids, found.prompt, ended=True)
        again = _answered(tokenizer, turns, text)
        said, read = (decoded(tokenizer, [*one.prompt, *one.completion]) for one in (found, again))
        if said != read and not joins_words(tokenizer):
            raise DataError(
                _(
                    "The model's tokenizer and chat template do not fit: the answer {answer!r} is "
                    "written as {said!r}, and what is read back as {read!r}. Add it with another "
                    "template."
                ).format(answer=answer, said=said[-80:], read=read[-80:])
            )
    form = form_of(tokenizer)
    return {
        "turn_closes_with": closes_in_words(tokenizer, form),
        "prompt_ends_with": ends_in_words(tokenizer, form),
    }


def taken(tokenizer: PreTrainedTokenizerBase) -> list[Turns]:
    """The conversations to try: one question, and a longer one where the template takes such."""
    short, long = TRIED
    try:
        _asked(tokenizer, long)
    except DataError:  # told where such a conversation is needed
        return [short]
    return [short, long]


def closes_in_words(tokenizer: PreTrainedTokenizerBase, form: Form) -> str:
    """With what an answer's turn closes."""
    if form.closing:
        return f"{form.closing.strip()}, a token"
    if tokenizer.chat_template is not None and (form.behind or "").strip():
        return f"“{(form.behind or '').strip()[:40]}”, which is no token: an answer goes on until its end"
    return "nothing of its own"


def ends_in_words(tokenizer: PreTrainedTokenizerBase, form: Form) -> str:
    """What a prompt ends with, before an answer."""
    if tokenizer.chat_template is None:
        return f"“{TURN}”, in the plain form"
    start = _Reader(tokenizer).write((("user", ASKED),), generation=True)
    last = start.rpartition(ASKED)[2].strip()
    closes = partner(form.opens) if form.opens else ""
    thinks = form.opens and (form.opens in form.opened or closes in form.header)
    thought = ", which opens a thought" if thinks else ""
    return (
        f"{last[-40:]}{thought}"
        if last
        else "the question: the template writes no generation prompt"
    )


def text_ids(tokenizer: PreTrainedTokenizerBase, text: str) -> list[int]:
    """The tokens of a text by itself; none is a control token."""
    known, ids = controls(tokenizer), _Reader(tokenizer).read(text)
    if known.ids.isdisjoint(ids) and not (known.unknown and known.unknown in text):
        return ids
    return _Reader(tokenizer, renamed(tokenizer)).read(text)


def answer_text(
    tokenizer: PreTrainedTokenizerBase,
    ids: Sequence[int],
    after: Sequence[int] = (),
    *,
    ended: bool = False,
) -> str:
    """Tokens as the text that was written behind these of a prompt, without special tokens.

    What stands before decides whether a first gap is shown. What the template would write around the text by
    itself is no part of it: the header of an answer, and the gap before the end of one that ended.
    """
    special, form = set(tokenizer.all_special_ids), form_of(tokenizer)
    if not after or joins_words(tokenizer):
        return decoded(tokenizer, [token for token in ids if token not in special])
    marks = [place for place, token in enumerate(ids) if token in special]
    header, marked = form.header, marks[: len(form.header_marks)]
    if tuple(ids[place] for place in marked) != form.header_marks:
        header, marked = "", []
    kept = [token for place, token in enumerate(ids) if token not in special or place in marked]
    before = after[-CONTEXT:]
    said = behind(tokenizer, before, kept)
    if header and not said.startswith(header):
        said = behind(tokenizer, before, [token for token in ids if token not in special])
    said = said.removeprefix(header).removesuffix(form.gap if ended else "")
    return without_gaps(
        tokenizer, said, behind_token=not header and before[-1] in controls(tokenizer).ids
    )


def without_gaps(tokenizer: PreTrainedTokenizerBase, said: str, *, behind_token: bool) -> str:
    """A text without the gap that some tokenizers read, and decode, behind each control token."""
    known = controls(tokenizer)
    if not gapped(tokenizer, known):
        return said
    first = said.removeprefix(" ") if behind_token else said
    each = "|".join(map(re.escape, sorted(known.spoken)))
    return re.sub(f"({each}) ", r"\1", first) if each else first


@lru_cache(maxsize=16)
def gapped(tokenizer: PreTrainedTokenizerBase, known: Controls) -> bool:
    """Whether a gap that nobody wrote is decoded behind a control token."""
    tokens = [name for name in tokenizer.added_tokens_encoder if known.pattern.fullmatch(name)]
    return any(
        decoded(tokenizer, _Reader(tokenizer).read(f"{name}a")) == f"{name} a"
        for name in tokens[:1]
    )


def behind(tokenizer: PreTrainedTokenizerBase, before: Sequence[int], ids: Sequence[int]) -> str:
    """What tokens say behind others."""
    start, whole = decoded(tokenizer, before), decoded(tokenizer, [*before, *ids])
    return whole[len(start) :] if whole.startswith(start) else decoded(tokenizer, ids)


def _asked(tokenizer: PreTrainedTokenizerBase, turns: Turns) -> _Asked:
    """A prompt; the answers of one follow each other, so the last ones are remembered."""
    return _remembered(tokenizer, str(tokenizer.chat_template), turns)


@lru_cache(maxsize=256)
def _remembered(
    tokenizer: PreTrainedTokenizerBase,
    template: str,
    turns: Turns,
) -> _Asked:
    reader = _Reader(tokenizer)
    text = reader.write(turns, generation=True)
    check_tools(tokenizer, turns, text)
    ids = reader.read(text)
    if misread(tokenizer, turns, ids, generation=True):
        reader = _Reader(tokenizer, renamed(tokenizer))
        text = reader.write(turns, generation=True)
        ids = reader.read(text)
    before = beginning(tokenizer, text)
    return _Asked((*before, *ids), len(before), text, reader)


def beginning(tokenizer: PreTrainedTokenizerBase, text: str) -> list[int]:
    """What the tokenizer puts before a text in the plain form; a template writes its own."""
    return [] if tokenizer.chat_template is not None else first_tokens(tokenizer, text)


def first_tokens(tokenizer: PreTrainedTokenizerBase, text: str) -> list[int]:
    """What the tokenizer puts before a text."""
    found = tokenizer(text, return_special_tokens_mask=True)
    mask = found["special_tokens_mask"]
    return list(found["input_ids"][: mask.index(0)])


def misread(
    tokenizer: PreTrainedTokenizerBase,
    turns: Turns,
    ids: Sequence[int],
    *,
    generation: bool = False,
) -> bool:
    """Whether tokens of a conversation may hold control tokens that its texts wrote."""
    known = controls(tokenizer)
    if known.unknown and any(known.unknown in content for _, content, *_ in turns):
        return True
    shapes = tuple((role, content and SOUGHT, *beside) for role, content, *beside in turns)
    found = [token for token in ids if token in known.ids]
    if found == meant(tokenizer, str(tokenizer.chat_template), shapes, generation):
        return False
    readable = hasattr(tokenizer, "backend_tokenizer")
    return readable or any(known.held(role, content) for role, content, *_ in turns)


@lru_cache(maxsize=1024)
def meant(
    tokenizer: PreTrainedTokenizerBase,
    template: str,
    turns: Turns,
    generation: bool,  # noqa: FBT001
) -> list[int]:
    """The control tokens that the template writes for a conversation whose texts hold none."""
    known = controls(tokenizer)
    text = _Reader(tokenizer).write(turns, generation=generation)
    found: Any = tokenizer.convert_tokens_to_ids(known.pattern.findall(text))
    return [token for token in found if token in known.ids]


def _joined(reader: _Reader, prompt: _Asked, turns: Turns, answer: str) -> Answered:
    """The conversation as this reader reads it."""
    start = prompt.text
    if reader is not prompt.reader:
        start = reader.write(turns, generation=True)
    body = answered_text(reader, turns, start, answer)
    kept = common(reader, start, body)
    before = list(prompt.ids)
    if kept < len(start):
        before = [*before[: prompt.beginning], *reader.read(start[:kept])]
    whole = [*before[: prompt.beginning], *reader.read(body)]
    if whole[: len(before)] == before:
        return _ending(reader.tokenizer, before, whole[len(before) :])
    said = decoded(reader.tokenizer, before)
    rest = body[kept:]
    says = {decoded(reader.tokenizer, whole), said + reader.known(rest)}
    parts = _parted(reader, before, start[:kept], rest, says)
    if parts is None:
        border = alike(before, whole)
        parts = whole[:border], whole[border:]
    return _ending(reader.tokenizer, *parts)


def _ending(
    tokenizer: PreTrainedTokenizerBase, prompt: list[int], completion: list[int]
) -> Answered:
    """Prompt and completion, and whether the template's own turn end is the last token."""
    return Answered(prompt, completion, closed=completion[-1:] == [turn_end(tokenizer)])


def answered_text(reader: _Reader, turns: Turns, start: str, answer: str) -> str:
    """The conversation up to the end of the answer's turn.

    It is what the template writes, unless that leaves out a part of the answer, or the answer goes on with the
    thought that the generation prompt opened: then it is the prompt with the answer.
    """
    form, said = form_of(reader.tokenizer), reader.said(answer)
    if reader.tokenizer.chat_template is None:
        return reader.write((*turns, ("assistant", answer)), generation=False)
    if form.behind is None:
        raise DataError(
            _(
                "The model's chat template does not write an answer as it was given, so nothing can "
                "be learned from it; add the model again with another template."
            )
        )
    closes = partner(form.opens) if form.opens else ""
    goes_on = bool(closes) and closes in answer and form.opens not in answer.partition(closes)[0]
    if not (goes_on or form.alone):
        body = without_behind(reader, turns, answer)
        if squeezed(said) in squeezed(body):
            return body + reader.named(form.closing)
    if form.opens and answer.lstrip().startswith(form.opens):
        said = reader.said(answer.lstrip().removeprefix(form.opens)).removeprefix("\n")
    return start + said + reader.named(form.closing)


def without_behind(reader: _Reader, turns: Turns, answer: str) -> str:
    """What the template writes of an answered conversation, without what comes behind the answer."""
    whole = reader.write((*turns, ("assistant", answer)), generation=False)
    rest = reader.named(form_of(reader.tokenizer).behind or "")
    if not whole.endswith(rest):  # of a longer conversation it may be another
        sought = reader.write((*turns, ("assistant", SOUGHT)), generation=False)
        rest = sought.rpartition(SOUGHT)[2]
    return whole[: len(whole) - len(rest)]


def common(reader: _Reader, start: str, body: str) -> int:
    """How many letters of a prompt the conversation with the answer begins with, at a place known before."""
    form = form_of(reader.tokenizer)
    opened, opens = (reader.named(part) for part in (form.opened, form.opens))
    for kept in (start, start.removesuffix(opened), start.rstrip().removesuffix(opens)):
        if body.startswith(kept):
            return len(kept)
    return alike(start, body)


def _parted(
    reader: _Reader, before: list[int], start: str, rest: str, says: Collection[str]
) -> tuple[list[int], list[int]] | None:
    """Prompt and completion where a token of the whole crosses the border between the two.

    The prompt's stay as serving has them, and the rest becomes tokens that say the same behind them, cut off
    something that it makes no common token with. None where it makes one with all.
    """
    if joins_words(reader.tokenizer):
        return before, reader.read(rest)
    for context in ("", start[-CONTEXT:], *string.punctuation, *string.digits):
        first, both = reader.read(context), reader.read(context + rest)
        found = both[len(first) :]
        if both[: len(first)] == first and decoded(reader.tokenizer, [*before, *found]) in says:
            return before, found
    return None


def decoded(tokenizer: PreTrainedTokenizerBase, ids: Sequence[int]) -> str:
    """All that the tokens say."""
    return str(tokenizer.decode(list(ids), clean_up_tokenization_spaces=False))


def joins_words(tokenizer: PreTrainedTokenizerBase) -> bool:
    """Whether what is decoded has spaces that are no part of it, between any two words."""
    decoder = getattr(getattr(tokenizer, "backend_tokenizer", None), "decoder", None)
    return decoder is None or type(decoder).__name__ == "WordPiece"


def alike(one: Sequence[object], other: Sequence[object]) -> int:
    """How many of their first items are the same."""
    return sum(1 for _ in takewhile(lambda both: both[0] == both[1], zip(one, other, strict=False)))


def squeezed(text: str) -> str:
    """A text without its gaps."""
    return "".join(text.split())


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
    token = form_of(tokenizer).closing.lstrip()
    known: Any = tokenizer.convert_tokens_to_ids(token) if token else None
    return None if known is None else int(known)


def form_of(tokenizer: PreTrainedTokenizerBase) -> Form:
    """What the tokenizer's template writes around answers; nothing where there is none."""
    if tokenizer.chat_template is None:
        return Form("", "")
    return _form_of(tokenizer, str(tokenizer.chat_template), len(tokenizer))


@lru_cache(maxsize=32)
def _form_of(
    tokenizer: PreTrainedTokenizerBase,
    template: str,
    size: int,
) -> Form:
    question = ("user", ASKED)
    reader = _Reader(tokenizer)
    try:
        start = reader.write((question,), generation=True)
        whole = reader.write((question, ("assistant", SOUGHT)), generation=False)
    except DataError:  # told where a conversation that is needed cannot be written
        return Form(None, "")
    before, found, rest = whole.rpartition(SOUGHT)
    if not found:
        return Form(None, "")
    header = before if before.startswith(start) else start
    asked_for, led = reader.read(start), reader.read(header)
    shown = decoded(tokenizer, led).removeprefix(decoded(tokenizer, asked_for))
    special = set(tokenizer.all_special_ids)
    marks = [token for token in led if token in special]
    mark = OPENED.search(start)
    closing = closing_of(tokenizer, rest)
    last = tokenizer.convert_tokens_to_ids(closing.lstrip()) if closing else None
    if reader.read(before + SOUGHT + closing)[-1] != last:  # it does not find its own token there
        closing = ""
    return Form(
        rest,
        closing,
        header=shown,
        header_marks=tuple(marks[sum(token in special for token in asked_for) :]),
        opened=start[alike(start, before) :],
        opens=mark[0].rstrip() if mark else "",
        alone=ASKED not in before,
    )


def closing_of(tokenizer: PreTrainedTokenizerBase, rest: str) -> str:
    """What of a text closes a turn, up to and with the control token it begins with; "" without one."""
    gap = len(rest) - len(rest.lstrip())
    tokens = [token.content for token in tokenizer.added_tokens_decoder.values()]
    first = [token for token in tokens if token.strip() and rest.startswith(token, gap)]
    return rest[: gap + len(max(first, key=len))] if first else ""


def written_out(
    tokenizer: PreTrainedTokenizerBase, turns: Sequence[dict[str, Any]], *, generation: bool
) -> str:
    """A conversation by the template or in the plain form, up to where an answer begins or with it."""
    if tokenizer.chat_template is not None:
        return _rendered(tokenizer, turns, generation=generation)
    if generation:
        return "".join(map(line, turns)) + TURN
    *before, last = turns
    return "".join(map(line, before)) + TURN + spaced(last["content"])


def line(turn: Mapping[str, Any]) -> str:
    """A turn in the plain form."""
    return f"{turn['role'].capitalize()}: {turn['content']}\n"


def spaced(text: str) -> str:
    """An answer in the plain form: a space stands before it, as in all text, unless it has its own."""
    return text if not text or text[0].isspace() else f" {text}"


def _rendered(
    tokenizer: PreTrainedTokenizerBase, turns: Sequence[dict[str, Any]], *, generation: bool
) -> str:
    """A conversation as the chat template writes it; raises DataError where it cannot."""
    return templates.render(
        tokenizer.chat_template,
        turns,
        special=tokenizer.special_tokens_map,
        generation=generation,
    )
