"""Whether a reward model is as sure of labels as it should be, and the temperature that mends it."""

import torch
import torch.nn.functional as F
from scipy.optimize import minimize_scalar
from torch import Tensor

from alignment.maths.estimators import grouped_interval
from alignment.reward.measures import Told

BINS = 10  # of the chance given to the likelier side, from a half to 1
BOUNDS = (-5.0, 5.0)  # of the logarithm: beyond them a model knows all, or nothing


def temperature_of(margins: Tensor) -> float:
    """T that minimises the mean of -log sigma(margin / T) over labels (Guo et al., 2017)."""

    def loss(log_temperature: float) -> float:
        return F.softplus(-margins / torch.tensor(log_temperature).exp()).mean().item()

    found = minimize_scalar(loss, bounds=BOUNDS, method="bounded")
    return float(torch.tensor(float(found.x)).exp())


def calibration_error(margins: Tensor) -> float:
    """ECE: how far the chance given to the likelier side is from how often it was right.

    The mean over BINS equal bins of the chance, each by its share of the labels (Naeini et al., 2015).
    """
    sure = margins.abs().sigmoid()
    right = (margins > 0).double() + 0.5 * (margins == 0).double()
    bins = ((sure - 0.5) * 2 * BINS).long().clamp(max=BINS - 1)
    gaps = torch.zeros(BINS, dtype=torch.float64).index_add(0, bins, sure - right)
    return (gaps.abs().sum() / len(margins)).item()


def calibration(found: Told) -> dict[str, object]:
    """The temperature of held-out labels, with NLL and ECE before and after.

    After means: on each half of the prompts, by the temperature of the other half.
    """
    numbers = {key: place for place, key in enumerate(sorted(set(found.prompts)))}
    halves = torch.tensor([numbers[key] % 2 for key in found.prompts]).bool()
    scaled = found.margins.clone()
    if halves.any():
        for half in (halves, ~halves):
            scaled[half] = found.margins[half] / temperature_of(found.margins[~half])
    after = grouped_interval(F.softplus(-scaled).tolist(), found.prompts, unit="nats")
    return {
        "temperature": temperature_of(found.margins),
        "nll_calibrated": after.model_dump(),
        "ece": calibration_error(found.margins),
        "ece_calibrated": calibration_error(scaled),
    }
