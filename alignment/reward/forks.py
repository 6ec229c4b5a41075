"""Sequences that begin alike, read as one row: what they share once, then what each goes on with.

A tail sees what is shared and itself, and counts its places from where it leaves the others, so a causal model with
full attention says of it what it says of the whole sequence; forward and backward take what is shared once.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from alignment.models.policies import Policy
from alignment.sampling.scoring import packed

EXACT = 1e-4  # of the largest state: more than rounding, less than any other way of reading
GAIN = 0.9  # of the padded tokens that plain rows take: with more, nothing is won
LENGTHS = (24, 5)  # of what a trial shares, and of its tails, about
LEAST = 32  # tokens of a context in which that can be tried
WINDOWS = ("sliding_window", "window_size", "attention_window_size")  # settings of some models
ATTENTIONS = ("sdpa", "eager")  # that take any mask


class Fork(NamedTuple):
    """Sequences, by their numbers, of which the first so many tokens are shared."""

    rows: list[int]
    shared: int
    size: int  # tokens that are read

    def with_next(self, row: int, shared: int, length: int) -> "Fork":
        """The same with one more sequence, which leaves them where only so much is shared."""
        more = (self.shared - shared) * (len(self.rows) - 1)
        return Fork([*self.rows, row], shared, self.size + more + length - shared)

    def parted(self, sequences: Sequence[Sequence[int]]) -> list["Fork"]:
        """The same without its last sequence, and that by itself; of one sequence itself."""
        *others, last = self.rows
        length = len(sequences[last])
        alone = Fork([last], length - 1, length)
        if len(others) < 2:
            return [
                *(Fork([row], len(sequences[row]) - 1, len(sequences[row])) for row in others),
                alone,
            ]
        return [Fork(others, self.shared, self.size - length + self.shared), alone]


def forks_of(sequences: Sequence[Sequence[int]], most: int) -> list[Fork]:
    """Every sequence in a fork, alone where sharing saves it nothing; none reads more than `most` tokens if it has two.

    In the order of their tokens each joins the one before it, and takes that along out of a fork which shares little.
    """
    found: list[Fork] = []
    for row in sorted(range(len(sequences)), key=lambda row: list(sequences[row])):
        ids = sequences[row]
        if found and common(sequences[found[-1].rows[-1]], ids) > 2 * found[-1].shared:
            found[-1:] = found[-1].parted(sequences)
        if found:
            last = found[-1]
            joined = last.with_next(
                row, min(last.shared, common(sequences[last.rows[-1]], ids)), len(ids)
            )
            if joined.size < last.size + len(ids) and joined.size <= most:
                found[-1] = joined
                continue
        found.append(Fork([row], len(ids) - 1, len(ids)))
    return found


def common(one: Sequence[int], other: Sequence[int]) -> int:
    """How many tokens both begin with; each keeps its last one for itself."""
    most = min(len(one), len(other)) - 1
    return next((place for place in range(most) if one[place] != other[place]), most)


def forked_batches(
    sequences: Sequence[Sequence[int]], longest: int, most: int
) -> list[list[Fork]] | None:
    """Forks of about equal size and not longer than that, at most so many padded tokens at once.

    None where that spares too little.
    """
    forks = forks_of(sequences, longest)
    if len(forks) == len(sequences):
        return None
    sizes, lengths = [fork.size for fork in forks], list(map(len, sequences))
    found = list(packed(sizes, most))
    if _padded(found, sizes) > GAIN * _padded(packed(lengths, most), lengths):
        return None
    return [[forks[place] for place in group] for group in found]


def _padded(groups: Iterator[list[int]] | list[list[int]], sizes: Sequence[int]) -> int:
    """The tokens that groups of rows take when each is as wide as its longest."""
    return sum(len(group) * max(sizes[place] for place in group) for group in groups)


class ForkRows(NamedTuple):
    """Forks as rows of one forward, and where each sequence stands in them, fork after fork."""

    ids: list[list[int]]
    places: list[list[int]]
    owners: list[list[int]]  # 0 of what is shared, from 1 on of a tail, -1 of padding
    tails: list[
        tuple[int, int, int]
    ]  # of each sequence: its row, what it shares, where its tail begins

    def columns(self, number: int, start: int, end: int) -> list[int]:
        """Where the tokens from start to end of a sequence stand in its row."""
        _row, shared, tail = self.tails[number]
        return [place if place < shared else tail + place - shared for place in range(start, end)]


def fork_rows(sequences: Sequence[Sequence[int]], forks: Sequence[Fork]) -> ForkRows:
    """Forks side by side, padded on the right."""
    width = max(fork.size for fork in forks)
    found = ForkRows([], [], [], [])
    for row, fork in enumerate(forks):
        line = list(sequences[fork.rows[0]][: fork.shared])
        places, owners = list(range(fork.shared)), [0] * fork.shared
        for number, own in enumerate(fork.rows, start=1):
            found.tails.append((row, fork.shared, len(line)))
            tail = sequences[own][fork.shared :]
            line += tail
            places += range(fork.shared, fork.shared + len(tail))
            owners += [number] * len(tail)
        padding = width - len(line)
        found.ids.append([*line, *[0] * padding])
        found.places.append([*places, *[0] * padding])
        found.owners.append([*owners, *[-1] * padding])
    return found


def states_of(trunk: Policy, layout: ForkRows) -> Tensor:
    """(rows, width, hidden) a causal backbone's last states; with gradient."""
    device = trunk.device
    states: Tensor = trunk.model(
        input_ids=torch.tensor(layout.ids, device=device),
        position_ids=torch.tensor(layout.places, device=device),
        attention_mask=_mask(trunk, torch.tensor(layout.owners, device=device)),
        use_cache=False,
    ).last_hidden_state
    return states


def forked_states(
    trunk: Policy, sequences: Sequence[Sequence[int]], forks: Sequence[Fork]
) -> Tensor:
    """(n, hidden) a causal backbone's last state of each sequence, fork after fork; with gradient."""
    layout = fork_rows(sequences, forks)
    lengths = [len(sequences[row]) for fork in forks for row in fork.rows]
    ends = [layout.columns(n, length - 1, length)[0] for n, length in enumerate(lengths)]
    rows = [row for row, _shared, _tail in layout.tails]
    return states_of(trunk, layout)[rows, ends]


def _mask(trunk: Policy, owners: Tensor) -> Tensor:
    """(n, 1, width, width) what each place may look at, of owners (n, width)."""
    width = owners.shape[1]
    before = torch.ones(width, width, dtype=torch.bool, device=owners.device).tril()
    theirs = (owners[:, None, :] == 0) | (owners[:, None, :] == owners[:, :, None])
    seen = (theirs & before)[:, None]
    if trunk.model.config._attn_implementation == "sdpa":
        return seen
    kind = next(trunk.model.parameters()).dtype
    floats = torch.zeros(seen.shape, dtype=kind, device=owners.device)
    return floats.masked_fill(~seen, torch.finfo(kind).min)


@torch.no_grad()
def reads_forks(trunk: Policy) -> bool:
    """Whether a causal backbone reads forks as it reads sequences: tried once, where its attention is full."""
    config = trunk.model.config.get_text_config()
    kinds = set(getattr(config, "layer_types", None) or ["full_attention"])
    windows = any(getattr(config, name, None) for name in WINDOWS)
    sliding = windows and getattr(config, "use_sliding_window", True)
    known = trunk.model.config._attn_implementation in ATTENTIONS
    if sliding or kinds != {"full_attention"} or not known or trunk.context_length < LEAST:
        return False
    count = int(config.vocab_size)
    shared, own = LENGTHS
    lines = [[*range(shared), *range(shared + n, shared + n + own + n)] for n in (1, 2)]
    sequences = [[token % count for token in line] for line in lines]
    forks = [Fork([0, 1], shared, shared + 2 * own + 3)]
    try:
        found = forked_states(trunk, sequences, forks)
        alone = [forked_states(trunk, [one], [Fork([0], 0, len(one))]) for one in sequences]
        whole = [
            trunk.model(input_ids=torch.tensor([one], device=trunk.device), use_cache=False)
            for one in sequences
        ]
    except (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError):
        return False
    expected = torch.stack([one.last_hidden_state[0, -1] for one in whole])
    most = EXACT * max(1.0, float(expected.abs().max()))
    return all(float((one - expected).abs().max()) <= most for one in (found, torch.cat(alone)))
