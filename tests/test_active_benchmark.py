"""What the benchmark of active allocation measures, on few labels; and that a forecast of more labels holds."""

import pytest
import torch

from benchmarks import active
from benchmarks.active import WAYS, curve, fit_heads, forecasts, labels_to, pools, project


@pytest.fixture(scope="module")
def pool():
    """Few answers."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in (("PROMPTS", 12), ("HELD", 20), ("DRAWN", 6000)):
            patch.setattr(active, name, value)
        yield pools(3)


def test_every_way_learns_from_as_many_labels(pool, monkeypatch):
    for name, value in (("BEGIN", 10), ("BATCH", 10), ("MOST", 50)):
        monkeypatch.setattr(active, name, value)
    found = {name: curve(*pool, way, 0) for name, way in WAYS.items()}
    assert {len(one) for one in found.values()} == {5}
    assert len({one[0] for one in found.values()}) == 1  # they begin alike
    assert len({tuple(one) for one in found.values()}) > 2


def test_heads_learn_what_labels_say():
    contrasts = torch.randn(400, 3, generator=torch.Generator().manual_seed(0)).double()
    said = (contrasts[:, 0] > 0).double()
    heads = fit_heads(contrasts, said, [str(n) for n in range(400)], 0)
    assert ((contrasts @ heads.mean(0) > 0).double() == said).double().mean() > 0.95
    assert heads.std(0).min() > 0


def test_labels_are_counted_to_where_a_curve_comes():
    assert labels_to(0.65, [0.5, 0.6, 0.7, 0.8]) == pytest.approx(active.BEGIN + 1.5 * active.BATCH)
    assert labels_to(0.9, [0.5, 0.6, 0.7, 0.8]) == active.MOST
    assert labels_to(0.1, [0.5, 0.6, 0.7, 0.8]) == active.BEGIN


def test_a_project_is_forecast_and_then_goes_on(pool, monkeypatch):
    monkeypatch.setattr(active, "MORE", 20)
    found = project(*pool, 40, 0)
    assert found.after[0] <= found.after[1]
    assert 0 <= found.true_after <= 1


@pytest.mark.prove
def test_a_forecast_of_500_labels_holds_in_nine_of_ten_projects():
    found = forecasts(50)
    assert found["covered"]["after"] >= 0.9
    assert found["covered"]["gain"] >= 0.9
    assert found["width"]["gain"] < 0.2  # and says something
