"""Reward models: what people prefer, as one number for a prompt and a completion."""

from alignment.reward.labels import divided
from alignment.reward.model import RewardModel

__all__ = ["RewardModel", "divided"]
