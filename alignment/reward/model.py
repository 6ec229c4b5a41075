"""A reward model: a scalar head on a causal backbone.

A completion is read as annotators saw it: its text without special tokens, up to its last token,
where a language model knows most of what it has read (it never learned to read its own end token).
So the score of a text and that of the rollout it came from are the same.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import AutoModel, AutoTokenizer, PreTrainedTokenizerBase

from alignment.errors import DataError
from alignment.policies import Policy, default_device
from alignment.records import Message
from alignment.sampling import Rollouts

SCORED_AT_ONCE = 64  # sequences
PROMPT_SHARE = 4  # a prompt that is too long keeps at least this fraction of the context


@dataclass(frozen=True)
class RewardModel:
    """r(prompt, completion): the last hidden state through a linear head, centred and scaled."""

    trunk: Policy  # its model has no language-model head
    head: nn.Linear
    center: float = 0.0
    scale: float = 1.0

    @classmethod
    def fresh(cls, folder: Path) -> "RewardModel":
        """An untrained head on a stored model, in fp32; only safetensors are read."""
        try:
            tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
            model = AutoModel.from_pretrained(
                folder, local_files_only=True, use_safetensors=True, dtype=torch.float32
            )
        except OSError as error:
            raise DataError(f"{folder} does not hold a model that can be read: {error}") from error
        width = model.config.get_text_config().hidden_size
        head = nn.Linear(width, 1, bias=False)
        nn.init.zeros_(head.weight)
        trunk = Policy(model.to(default_device()).eval(), tokenizer)
        return cls(trunk, head.to(trunk.device))

    @classmethod
    def load(cls, folder: Path) -> "RewardModel":
        """Read what `save` wrote, ready to score."""
        model = cls.fresh(folder)
        model.head.load_state_dict(load_file(folder / "head.safetensors"))
        stored = json.loads((folder / "reward.json").read_text(encoding="utf-8"))
        return replace(model, center=stored["center"], scale=stored["scale"])

    def save(self, folder: Path) -> None:
        """Write trunk, tokenizer, head and scale into an existing folder."""
        self.trunk.save(folder)
        save_file(self.head.state_dict(), folder / "head.safetensors")
        stored = json.dumps({"center": self.center, "scale": self.scale})
        (folder / "reward.json").write_text(stored, encoding="utf-8")

    def parameters(self) -> list[nn.Parameter]:
        """Everything that is trained."""
        return [*self.trunk.model.parameters(), *self.head.parameters()]

    def raw(self, sequences: Sequence[Sequence[int]]) -> Tensor:
        """(n,) head outputs at the sequences' last tokens, not centred, with gradient."""
        lengths = torch.tensor([len(ids) for ids in sequences], device=self.trunk.device)
        width = int(lengths.max())
        padded = torch.tensor([[*ids, *[0] * (width - len(ids))] for ids in sequences])
        # Padding is on the right of a causal model, so no real position sees it.
        hidden = self.trunk.model(
            input_ids=padded.to(self.trunk.device),
            attention_mask=torch.ones_like(padded, device=self.trunk.device),
            use_cache=False,
        ).last_hidden_state
        last = hidden[torch.arange(len(sequences), device=hidden.device), lengths - 1]
        scores: Tensor = self.head(last)
        return scores[:, 0]

    @torch.no_grad()
    def score_ids(self, sequences: Sequence[Sequence[int]]) -> Tensor:
        """(n,) rewards of whole sequences, in standard deviations over the training completions."""
        scores = torch.empty(len(sequences), device=self.trunk.device)
        order = sorted(range(len(sequences)), key=lambda row: len(sequences[row]))
        for start in range(0, len(order), SCORED_AT_ONCE):
            rows = order[start : start + SCORED_AT_ONCE]
            scores[rows] = self.raw([sequences[row] for row in rows])
        return (scores - self.center) / self.scale

    def score_texts(self, prompts: Sequence[Sequence[Message]], texts: Sequence[str]) -> Tensor:
        """(n,) rewards of completions given as text, one prompt each."""
        pairs = zip(prompts, texts, strict=True)
        return self.score_ids([self.read(prompt, text)[0] for prompt, text in pairs])

    def score(self, policy: Policy, rollouts: Rollouts) -> Tensor:
        """(n,) rewards of a policy's completions; as text where its tokenizer is another one."""
        completions = rollouts.completion_ids()
        if not same_tokens(policy.tokenizer, self.trunk.tokenizer):
            prompts = [[Message(role="user", content=policy.text(ids))] for ids in rollouts.prompts]
            return self.score_texts(prompts, [policy.text(ids) for ids in completions])
        special = set(policy.tokenizer.all_special_ids)
        seen = [[token for token in ids if token not in special] for ids in completions]
        rows = zip(rollouts.prompts, seen, strict=True)
        return self.score_ids([self.join(prompt, ids)[0] for prompt, ids in rows])

    def read(self, prompt: Sequence[Message], text: str) -> tuple[list[int], bool]:
        """Token ids of prompt and completion, and whether they were cut to the context."""
        completion = self.trunk.tokenizer(text, add_special_tokens=False)["input_ids"]
        return self.join(self.trunk.prompt_ids(prompt), completion)

    def join(self, prompt: Sequence[int], completion: Sequence[int]) -> tuple[list[int], bool]:
        """Prompt and completion in one, the first cut on its left, the second on its right to fit."""
        context = self.trunk.context_length
        room = context - min(len(prompt), context // PROMPT_SHARE)
        kept = completion[:room]
        start = max(0, len(prompt) + len(kept) - context)
        cut = start > 0 or len(kept) < len(completion)
        return [*prompt[start:], *kept], cut


@lru_cache(maxsize=8)
def same_tokens(one: PreTrainedTokenizerBase, other: PreTrainedTokenizerBase) -> bool:
    """Whether token ids and prompts mean the same to both; asked at every step, so remembered."""
    same_template = one.chat_template == other.chat_template
    return same_template and (one is other or one.get_vocab() == other.get_vocab())
