"""Strings that end a completion: its text is what stands before the first of them.

A completion ends with the token that makes a stop string whole, wherever tokens begin and end in it; of that token
and those before, only the text is cut. Its probability is that of all these tokens, so that over all outcomes the
probabilities sum to 1.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from alignment.models.policies import Policy

UNFINISHED = "\ufffd"  # what stands for the first bytes of a letter


class StopWatch:
    """Tells which of some rows have come to a stop string; each row has its prompt."""

    def __init__(
        self, policy: Policy, prompts: Sequence[Sequence[int]], strings: Sequence[str]
    ) -> None:
        self.policy, self.prompts, self.strings = policy, prompts, strings
        self._last = {string[-1] for string in strings}
        self._gaps = " " in self._last
        self._known: dict[int, bool] = {}  # whether a token can make a stop string whole

    def stopped(self, tokens: Tensor, rows: Tensor) -> Tensor:
        """(rows,) whether the text of these rows of tokens (all, length) holds a stop string.

        It is read where the last token can have brought the last letter of one.
        """
        asked = [
            place for place, token in enumerate(tokens[rows, -1].tolist()) if self._may_end(token)
        ]
        found = torch.zeros(len(rows), dtype=torch.bool)
        numbers = rows[asked].tolist()
        for place, row, ids in zip(asked, numbers, tokens[numbers].tolist(), strict=True):
            text = self.policy.text(ids, self.prompts[row])
            found[place] = any(string in text for string in self.strings)
        return found.to(tokens.device)

    def _may_end(self, token: int) -> bool:
        """Whether a token can bring the last letter of a stop string: a space may come with any token."""
        if self._gaps:
            return True
        if token not in self._known:
            text = self.policy.text([token])
            self._known[token] = UNFINISHED in text or not self._last.isdisjoint(text)
        return self._known[token]


def cut_at(text: str, strings: Sequence[str]) -> str:
    """What stands before the first of any of these strings."""
    places = [place for string in strings if (place := text.find(string)) >= 0]
    return text[: min(places)] if places else text
