"""A prompt and an answer as one sequence, as a model reads it that writes nothing: a reward model, a classifier.

An answer is read as people saw it: its text without special tokens, and without the token that closes its turn,
so that what is read of a text and of the rollout it came from is the same. A masked model gets prompt and answer
between its own marks, an encoder-decoder a border between what its encoder and its decoder read.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache

from transformers import PreTrainedTokenizerBase

from alignment.models import conversations
from alignment.models.encoder_decoders import Tokenization, starts_of, tokenization_of
from alignment.models.policies import Policy
from alignment.sampling.sampling import Rollouts
from alignment.seam.records import Message

BORDER = -1  # no token: what stands between prompt and answer for an encoder-decoder
PROMPT_SHARE = 4  # a prompt that is too long keeps at least this fraction of the context


@dataclass(frozen=True)
class Joiner:
    """How a model with this tokenizer reads texts; `marked` says that it is a masked one."""

    tokenizer: PreTrainedTokenizerBase
    context: int  # tokens of the longest sequence
    marked: bool
    asked: Mapping[tuple[int, ...], Sequence[Message]] = field(default_factory=dict)  # see knowing
    behind: tuple[int, ...] | None = (
        None  # what is read behind an answer and what closes it; None: neither
    )

    @classmethod
    def of(cls, trunk: Policy, *, marked: bool) -> "Joiner":
        """Of a loaded model: some masked ones count more positions than they can use."""
        limit = trunk.context_length
        if trunk.apart:
            return JoinerApart(trunk.tokenizer, limit, marked, starts=len(starts_of(trunk.model)))
        context = min(limit, trunk.tokenizer.model_max_length) if marked else limit
        return cls(trunk.tokenizer, context, marked)

    def knowing(self, policy: Policy, prompts: Sequence[Sequence[Message]]) -> "Joiner":
        """The same, knowing these conversations by the tokens that a policy reads them as."""
        asked = {tuple(policy.prompt_ids(turns)): turns for turns in prompts}
        return replace(self, asked={**self.asked, **asked})

    def alone(self, text: str) -> list[int]:
        """A text by itself, never empty, cut on its right to fit; spaces around it do not count."""
        words = text.strip()
        ids = conversations.text_ids(self.tokenizer, words)
        first, last = self.marks
        if ids and not self.marked:
            first = conversations.first_tokens(self.tokenizer, words)
        if not (ids or first):
            return [int(self.tokenizer.eos_token_id or 0)]
        return [*first, *ids[: self.context - len(first) - len(last)], *last]

    def read(self, prompt: Sequence[Message], text: str) -> tuple[list[int], bool]:
        """Token ids of prompt and answer, and whether they were cut to the context."""
        return self._whole(self.tokenization.answered(self.tokenizer, prompt, text))

    def read_all(
        self, prompts: Sequence[Sequence[Message]], texts: Sequence[str]
    ) -> list[list[int]]:
        """Token ids of each prompt with its answer, as `read` gives them."""
        found = self.tokenization.all_answered(self.tokenizer, prompts, texts)
        return [self._whole(one)[0] for one in found]

    def read_drawn(self, policy: Policy, rollouts: Rollouts) -> list[list[int]]:
        """Token ids of a policy's completions with their prompts: of their texts, with whatever tokens they were drawn.

        A prompt that it was not told of by `knowing` is taken as its tokens, or read as one turn of the
        user's where the policy has another tokenizer.
        """
        rows = list(zip(rollouts.prompts, rollouts.completion_ids(), strict=True))
        turns = [self._turns_of(policy, prompt) for prompt, _ in rows]
        texts = [policy.text(ids, prompt) for prompt, ids in rows]
        known = [(found, text) for found, text in zip(turns, texts, strict=True) if found]
        read = iter(self.read_all([found for found, _ in known], [text for _, text in known]))
        return [
            next(read) if found else self._drawn(policy, *row)
            for found, row in zip(turns, rows, strict=True)
        ]

    def join(self, prompt: Sequence[int], completion: Sequence[int]) -> tuple[list[int], bool]:
        """Prompt and answer in one, the first cut on its left, the second on its right to fit."""
        first, last = self.marks
        if self.marked:
            prompt = [token for token in prompt if token not in (*first, *last)]
        context = self.context - len(first) - 2 * len(last)
        room = context - min(len(prompt), context // PROMPT_SHARE)
        kept = completion[:room]
        over = max(0, len(prompt) + len(kept) - context)
        begin = self._begins(prompt)
        cut = over > 0 or len(kept) < len(completion)
        return [*first, *prompt[:begin], *prompt[begin + over :], *last, *kept, *last], cut

    @property
    def tokenization(self) -> Tokenization:
        """How conversations become its tokens."""
        return tokenization_of(apart=False)

    @property
    def marks(self) -> tuple[list[int], list[int]]:
        """What a masked model expects first, and after each of two texts."""
        ids = (self.tokenizer.cls_token_id, self.tokenizer.sep_token_id)
        first, last = ([] if one is None or not self.marked else [int(one)] for one in ids)
        return first, last

    def _turns_of(self, policy: Policy, prompt: tuple[int, ...]) -> Sequence[Message]:
        """The conversation that a policy reads as these tokens; none where they can be taken themselves."""
        if (turns := self.asked.get(prompt)) is not None:
            return turns
        same = policy.tokenization == self.tokenization and self.behind is None
        if same and same_tokens(policy.tokenizer, self.tokenizer):
            return []
        return [Message(role="user", content=policy.text(prompt))]

    def _drawn(self, policy: Policy, prompt: tuple[int, ...], ids: Sequence[int]) -> list[int]:
        """Token ids of a prompt and of a completion of a policy with the same tokenizer."""
        special = set(policy.tokenizer.all_special_ids)
        seen = [token for token in policy.without_end(ids) if token not in special]
        return self.join(prompt, seen)[0]

    def _whole(self, found: conversations.Answered) -> tuple[list[int], bool]:
        """Prompt and answer in one, without the token that closes the turn, or with all that stands behind it."""
        completion = found.completion[:-1] if found.closed else found.completion
        if self.behind is not None:
            completion = [*found.completion, *self.behind]
        return self.join(found.prompt, completion)

    def _begins(self, prompt: Sequence[int]) -> int:
        """How many tokens a prompt begins with that a cut spares: the one that every text begins with."""
        return int(bool(prompt) and prompt[0] == self.tokenizer.bos_token_id)


@dataclass(frozen=True)
class JoinerApart(Joiner):
    """How an encoder-decoder reads texts, whose answers begin with so many tokens."""

    starts: int = 1

    @property
    def tokenization(self) -> Tokenization:
        """How conversations become its tokens."""
        return tokenization_of(apart=True)

    def join(self, prompt: Sequence[int], completion: Sequence[int]) -> tuple[list[int], bool]:
        """Prompt and answer with a border, each cut to the context by itself."""
        over, begin = max(0, len(prompt) - self.context), self._begins(prompt)
        kept = completion[: self.context - self.starts]
        cut = over > 0 or len(kept) < len(completion)
        return [*prompt[:begin], *prompt[begin + over :], BORDER, *kept], cut


def behind_turn(tokenizer: PreTrainedTokenizerBase, *, ended: bool) -> tuple[int, ...]:
    """The tokens that the template writes behind what closes an answer; `ended`: and the end of a text, if it has none."""
    form = conversations.form_of(tokenizer)
    behind, end = form.behind or "", tokenizer.eos_token
    rest = behind.removeprefix(form.closing)
    if ended and end and not behind.endswith(str(end)):
        rest += str(end)
    return tuple(tokenizer(rest, add_special_tokens=False)["input_ids"]) if rest else ()


def parted_at_border(sequence: Sequence[int]) -> tuple[list[int], list[int]]:
    """What an encoder and what a decoder reads of a sequence with a border."""
    place = list(sequence).index(BORDER)
    return list(sequence[:place]), list(sequence[place + 1 :])


@lru_cache(maxsize=8)
def same_tokens(one: PreTrainedTokenizerBase, other: PreTrainedTokenizerBase) -> bool:
    """Whether token ids and prompts mean the same to both; asked at every step, so remembered."""
    same_template = one.chat_template == other.chat_template
    return same_template and (one is other or one.get_vocab() == other.get_vocab())
