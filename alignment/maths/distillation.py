"""Losses by which a student comes near its teacher: pure functions of logits and log-probabilities.

With p and q the teacher's and the student's next token, and p_T, q_T the same at temperature T,

    offline      (1 - w) T^2 KL(p_T || q_T) + w (-log q(token))       Hinton et al., 2015, section 2
    on-policy    -mean((rho(u) - baseline) log q),  u = log q - log p of whole completions of the student's

The square makes gradients of every temperature as large: with logits z of the student and v of the teacher
T^2 d KL / dz tends to (z - v - mean(z - v)) / n as T grows, over n tokens of a vocabulary. The second is f-DPG's
(`losses`) with the teacher as the target, which is normalised already.
"""

from typing import NamedTuple

import torch.nn.functional as F
from torch import Tensor

from alignment.maths.advantages import leave_one_out
from alignment.maths.divergences import Divergence


class SoftLosses(NamedTuple):
    """Losses (tokens,) of a student: T^2 KL(p_T || q_T), and of the tokens themselves."""

    divergence: Tensor
    entropy: Tensor


def soft_losses(student: Tensor, teacher: Tensor, tokens: Tensor, temperature: float) -> SoftLosses:
    """Of logits (n, vocab) of both and tokens (n,)."""
    assert student.shape == teacher.shape
    assert tokens.shape == student.shape[:1]
    known = (teacher / temperature).log_softmax(-1)
    told = (student / temperature).log_softmax(-1)
    divergence = temperature**2 * (known.exp() * (known - told)).sum(-1)
    return SoftLosses(divergence, F.cross_entropy(student, tokens, reduction="none"))


def rewards_beside_teacher(u: Tensor, divergence: Divergence) -> Tensor:
    """(prompts, n) pseudo-rewards of completions above those of the same prompt's others; u = log q - log p."""
    rho = divergence.pseudo_reward(u)
    return rho - leave_one_out(rho)
