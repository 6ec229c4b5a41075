"""Of many parameters a few are tried in `make test`; the others are slow, and tried beside it."""

from collections.abc import Container, Iterable

import pytest


def quick_among(quick: Container[object], cases: Iterable[object]) -> list[object]:
    """The cases of a parametrized test, of which all are slow but these; several parameters are tuples."""
    return [case if case in quick else slow(case) for case in cases]


def slow(case: object) -> object:
    """A case that is tried beside `make test`."""
    return pytest.param(*case if isinstance(case, tuple) else [case], marks=pytest.mark.slow)
