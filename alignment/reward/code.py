"""Rewards from code for the completions of known prompts: each part of a reward is a column."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from alignment.foreign.code_files import read_code
from alignment.foreign.rewards import CodeError, Limits, RewardCode
from alignment.kinds.settings.target import CodeSettings
from alignment.models.policies import Policy
from alignment.models.texts import drawn_texts
from alignment.sampling.sampling import Rollouts
from alignment.seam.errors import DataError
from alignment.seam.records import PromptRecord
from alignment.seam.words import _

SHOWN = 60  # letters of a prompt


class CodeRow(NamedTuple):
    """A prompt as code is asked about its completions: which of the run's it is, from 1, and its row."""

    number: int
    row: Mapping[str, Any]


@dataclass(frozen=True)
class CodeReward:
    """Code that gives completions of these prompts a reward, asked in a process of its own."""

    code: RewardCode
    rows: Mapping[tuple[int, ...], CodeRow]  # by the prompts' token ids

    @classmethod
    def load(
        cls,
        folder: Path,
        config: CodeSettings,
        policies: Sequence[Policy],
        prompts: Iterable[PromptRecord],
        *,
        own: bool,
    ) -> "CodeReward":
        """The code of a folder, for prompts as these policies read them; raises DataError.

        `own` allows what stands on somebody's own command line, and is not kept apart.
        """
        code, apart = read_code(folder, own=own)
        limits = Limits(config.code_seconds, config.code_mebibytes if apart else 0)
        return cls(RewardCode(code, limits), rows_by_ids(policies, prompts))

    @property
    def names(self) -> Sequence[str]:
        """Of the parts of a reward, once it was asked."""
        return self.code.names

    def score(self, policy: Policy, rollouts: Rollouts) -> Tensor:
        """(n, parts) fp64, the parts of each completion's reward; raises DataError naming prompt and reason."""
        asked = [self.rows[ids] for ids in rollouts.prompts]
        return self._columns(asked, drawn_texts(policy, rollouts)).to(rollouts.tokens.device)

    def score_texts(self, prompts: Sequence[PromptRecord], texts: Sequence[str]) -> Tensor:
        """(n,) rewards of completions given as text, the sum of their parts; raises DataError."""
        asked = [CodeRow(number, _row_of(prompt)) for number, prompt in enumerate(prompts, start=1)]
        return self._columns(asked, texts).sum(1)

    def _columns(self, asked: Sequence[CodeRow], texts: Sequence[str]) -> Tensor:
        pairs = zip(asked, texts, strict=True)
        try:
            found = self.code.parts([{**one.row, "completion": text} for one, text in pairs])
        except CodeError as error:
            raise DataError(_told(asked, error)) from None
        rows = [[row[name] for name in self.names] for row in found]
        return torch.tensor(rows, dtype=torch.float64)


def rows_by_ids(
    policies: Sequence[Policy], prompts: Iterable[PromptRecord]
) -> dict[tuple[int, ...], CodeRow]:
    """The rows of prompts by what policies read them as; raises DataError where two are read alike and differ."""
    found: dict[tuple[int, ...], CodeRow] = {}
    for number, prompt in enumerate(prompts, start=1):
        asked = CodeRow(number, _row_of(prompt))
        for policy in policies:
            ids = tuple(policy.prompt_ids(prompt.messages))
            known = found.setdefault(ids, asked)
            if known.row["columns"] != asked.row["columns"]:
                raise DataError(
                    _(
                        "Prompts {one} and {other} (“{text}”) are the same, and other columns of theirs differ; "
                        "a reward from code could not tell which it is asked about."
                    ).format(one=known.number, other=number, text=_beginning(prompt.text))
                )
    return found


def _row_of(prompt: PromptRecord) -> dict[str, Any]:
    """A prompt as code is given it."""
    return {
        "prompt": prompt.text,
        "messages": [turn.model_dump(mode="json") for turn in prompt.messages],
        "columns": json.loads(prompt.columns or "{}"),
    }


def _told(asked: Sequence[CodeRow], error: CodeError) -> str:
    """A sentence that names the row at fault, or the first of those that were asked about together."""
    one = asked[error.place or 0]
    words = (
        _("The reward from code failed on prompt {number} (“{text}”) and others together: {error}.")
        if error.place is None
        else _("The reward from code failed on prompt {number} (“{text}”): {error}.")
    )
    return words.format(number=one.number, text=_beginning(one.row["prompt"]), error=error)


def _beginning(text: str) -> str:
    """The first letters of a prompt, on one line."""
    line = " ".join(text.split())
    return f"{line[:SHOWN]}…" if len(line) > SHOWN else line
