"""What changes a policy's chances before a token is drawn: the sampler q is then the policy so changed.

In transformers' order: tokens that were there already, temperature, the k likeliest tokens, the fewest that together
have a chance of p, those with a chance of at least a share of the likeliest's. What is left keeps its odds, and
log-probabilities are q's. What ends a completion beside its end token is q's too: the outcomes are others.
"""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Warp:
    """A change of the chances of the next token; the usual one changes nothing."""

    temperature: float = 1.0
    greedy: bool = False  # the likeliest token, the first of several
    top_k: int = 0  # tokens; 0: all. Ties with the last are kept
    top_p: float = 1.0  # Holtzman et al., 2020: the nucleus
    min_p: float = 0.0  # Nguyen et al., 2024
    penalty: float = 1.0  # of tokens that prompt or completion hold: Keskar et al., 2019
    stops: tuple[str, ...] = ()  # strings that end a completion once its text holds one of them

    @property
    def keeps_all(self) -> bool:
        """Whether every token keeps a chance."""
        return not self.greedy and self.top_k == 0 and self.top_p == 1 and self.min_p == 0


PLAIN = Warp()


def warped(logits: Tensor, warp: Warp, seen: Tensor | None = None) -> Tensor:
    """(rows, vocab) logits of q: -inf where it never draws.

    `seen` (rows, vocab) bool are the tokens of prompt and completion so far; they are penalised.
    """
    logits = logits if seen is None else penalised(logits, seen, warp.penalty)
    logits = logits / warp.temperature if warp.temperature != 1 else logits
    if warp.keeps_all:
        return logits
    if warp.greedy:
        return only(logits, logits.argmax(-1, keepdim=True))
    if 0 < warp.top_k < logits.shape[-1]:
        last = logits.topk(warp.top_k).values[:, -1:]
        logits = logits.masked_fill(logits < last, -torch.inf)
    if warp.top_p < 1:
        logits = nucleus(logits, warp.top_p)
    if warp.min_p > 0:
        chances = logits.softmax(-1)
        least = warp.min_p * chances.amax(-1, keepdim=True)
        logits = logits.masked_fill(chances < least, -torch.inf)
    return logits


def penalised(logits: Tensor, seen: Tensor, penalty: float) -> Tensor:
    """Logits of the tokens that were seen, divided by a penalty where they are above 0, else times it."""
    return torch.where(seen, torch.where(logits > 0, logits / penalty, logits * penalty), logits)


def nucleus(logits: Tensor, mass: float) -> Tensor:
    """Logits of the fewest tokens whose chances add up to this mass, the likeliest first."""
    ordered, places = logits.sort(-1)
    beyond = ordered.softmax(-1).cumsum(-1) <= 1 - mass
    beyond[:, -1] = False  # the likeliest stays
    return logits.masked_fill(beyond.scatter(-1, places, beyond), -torch.inf)


def only(logits: Tensor, places: Tensor) -> Tensor:
    """Logits of these tokens (rows, n) alone."""
    return torch.full_like(logits, -torch.inf).scatter(-1, places, logits.gather(-1, places))
