"""Masked language modelling: which tokens are hidden, and what stands in their place.

Devlin et al., 2019, "BERT": of the tokens a share is chosen; of these most are replaced by the mask, some by
any token, and the rest stays, so that the model cannot know which of the tokens it sees are right.
"""

from typing import NamedTuple

import torch
from torch import Tensor


class Shares(NamedTuple):
    """Of all tokens the chosen ones; of these the masked and the random ones."""

    chosen: float
    masked: float
    random: float


class Masked(NamedTuple):
    """Token ids as the model sees them, and which of them it has to tell; each of one shape.

    `hidden` are the chosen tokens in whose place the mask stands, `changed` those with a random token.
    """

    seen: Tensor
    chosen: Tensor
    hidden: Tensor
    changed: Tensor


def mask_tokens(
    ids: Tensor, free: Tensor, shares: Shares, mask: int, words: Tensor, generator: torch.Generator
) -> Masked:
    """Hide tokens of ids (n, length): each that is `free` with the same probability, all independently.

    A random token is one of `words` (m,), each as likely as another.
    """
    draws = torch.rand(ids.shape, generator=generator)
    chosen = free & (draws < shares.chosen)
    fate = torch.rand(ids.shape, generator=generator)
    hidden = chosen & (fate < shares.masked)
    changed = chosen & ~hidden & (fate < shares.masked + shares.random)
    others = words[torch.randint(len(words), ids.shape, generator=generator)]
    seen = torch.where(hidden, mask, torch.where(changed, others, ids))
    return Masked(seen, chosen, hidden, changed)


def fates_of(masked: Masked, free: Tensor) -> dict[str, int]:
    """How many tokens had which fate."""
    chosen, hidden = int(masked.chosen.sum()), int(masked.hidden.sum())
    changed = int(masked.changed.sum())
    return {
        "free": int(free.sum()),
        "chosen": chosen,
        "masked": hidden,
        "random": changed,
        "kept": chosen - hidden - changed,
    }
