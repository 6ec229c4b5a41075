"""What a label says about rewards: one negative log-likelihood (nats) per kind of label.

Pure functions of scores, in log space. A margin is r(left) - r(right) or r(chosen) - r(rejected).
Strength, reliability and bias scale or shift the margin before the likelihood sees it.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

FAR = 700.0


def bradley_terry_nll(margins: Tensor, strengths: Tensor | None = None) -> Tensor:
    """(n,) of pairs: -log sigma(margin), each counted `strengths` times (Bradley and Terry, 1952).

    A label of strength s says as much as s labels: its odds are e^margin to the power s.
    """
    losses = -F.logsigmoid(margins)
    return losses if strengths is None else strengths * losses


def davidson_nll(margins: Tensor, outcomes: Tensor, tie: Tensor) -> Tensor:
    """(n,) of outcomes 1 left, 0 tie, -1 right (Davidson, 1970).

    P(left) : P(tie) : P(right) = e^(margin/2) : e^tie : e^(-margin/2); tie is log nu.
    """
    assert margins.shape == outcomes.shape
    energies = torch.stack([-margins / 2, tie.expand_as(margins), margins / 2], -1)
    return -energies.log_softmax(-1).gather(-1, outcomes.long()[:, None] + 1)[:, 0]


def rao_kupper_nll(margins: Tensor, outcomes: Tensor, tie: Tensor) -> Tensor:
    """(n,) of outcomes 1 left, 0 tie, -1 right (Rao and Kupper, 1967).

    P(left) = sigma(margin - t), P(right) = sigma(-margin - t), a tie is the rest; t = softplus(tie) > 0
    is the margin that annotators cannot see.
    """
    assert margins.shape == outcomes.shape
    threshold = F.softplus(tie)
    left, right = F.logsigmoid(margins - threshold), F.logsigmoid(-margins - threshold)
    # 1 - P(left) - P(right) = (e^2t - 1) P(left) P(right)
    tied = left + right + 2 * threshold + torch.log(-torch.expm1(-2 * threshold))
    return -torch.where(outcomes > 0, left, torch.where(outcomes < 0, right, tied))


def plackett_luce_nll(scores: Tensor, ranks: Tensor, mask: Tensor) -> Tensor:
    """(n,) of rankings: scores and ranks (n, k), 0 the best, mask (n, k) of the places that are taken.

    The product over completions of e^score / sum of e^score of it and of what ranks below (Luce,
    1959; Plackett, 1975). Between equal ranks nothing is said: neither is in the other's sum.
    """
    assert scores.shape == ranks.shape == mask.shape
    below = (ranks[:, None, :] > ranks[:, :, None]) & mask[:, None, :]
    rivals = below | torch.eye(scores.shape[1], dtype=torch.bool, device=scores.device)
    left = scores[:, None, :].masked_fill(~rivals, -torch.inf).logsumexp(-1)
    return (left - scores).masked_fill(~mask, 0.0).sum(-1)


def thumbs_nll(scores: Tensor, good: Tensor) -> Tensor:
    """(n,) of thumbs: -log sigma(+-score), + where `good`."""
    return -F.logsigmoid(torch.where(good, scores, -scores))


def ratings_nll(scores: Tensor, ratings: Tensor, cuts: Tensor) -> Tensor:
    """(n,) of ratings 0..k by a cumulative link: P(rating <= j) = sigma(cut_j - score).

    McCullagh, 1980. `cuts` (k,) rise strictly; see `rising`.
    """
    ends = torch.cat([cuts.new_full((1,), -math.inf), cuts, cuts.new_full((1,), math.inf)])
    high, low = ends[ratings + 1] - scores, ends[ratings] - scores
    # sigma(h) - sigma(l) = sigma(h) sigma(-l) (1 - e^(l - h))
    gap = torch.log(-torch.expm1((low - high).clamp(min=-FAR)))
    return -(F.logsigmoid(high.clamp(max=FAR)) + F.logsigmoid(-low.clamp(min=-FAR)) + gap)


def rising(free: Tensor) -> Tensor:
    """Strictly rising cuts (k,) from k free numbers: the first, then softplus steps."""
    return torch.cat([free[:1], free[:1] + F.softplus(free[1:]).cumsum(0)])


def lapsed_nll(losses: Tensor, lapses: Tensor, outcomes: int) -> Tensor:
    """(n,) of labels whose annotators do not look at a share `lapses` of them, and choose blindly.

    P = (1 - lapse) e^-loss + lapse / outcomes. How sharply somebody sees and which side they like
    without looking are in the losses: they are of the margin scale * margin + side.
    """
    assert losses.shape == lapses.shape
    return -torch.logaddexp(torch.log1p(-lapses) - losses, torch.log(lapses / outcomes))


def annotator_prior(log_scales: Tensor, sides: Tensor, lapse_logits: Tensor) -> Tensor:
    """Minus log of the priors, summed: scales log-normal about 1, no side, lapses about 5 %."""
    center = math.log(0.05 / 0.95)
    terms = log_scales**2 / (2 * 0.7**2), sides**2 / (2 * 0.5**2), (lapse_logits - center) ** 2 / 2
    return torch.stack([term.sum() for term in terms]).sum()
