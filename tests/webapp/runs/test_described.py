from alignment.kinds import KINDS
from webapp.results.words import described, findings, tables


def test_settings_are_shown_under_their_titles_with_units():
    rows = described("align", {"divergence": "reverse_kl", "beta": 0.05, "steps": 1_000_000})
    assert [tuple(row) for row in rows] == [
        ("Divergence", "Reverse KL", ""),
        ("Beta", "0.05", "reward / nat"),
        ("Steps", "1,000,000", ""),
    ]


def test_every_setting_of_every_kind_can_be_shown():
    for name, kind in KINDS.items():
        stored = kind.settings().model_dump(mode="json")
        assert len(described(name, stored)) == len(kind.settings.model_fields)


def test_a_setting_that_is_no_longer_known_keeps_its_name():
    assert described("align", {"gone": 3})[0].title == "gone"


def test_findings_are_estimates_and_plain_facts():
    accuracy = {"value": 0.8, "low": 0.7, "high": 0.9, "n": 40, "unit": ""}
    estimates, facts = findings("reward", {"accuracy": accuracy, "pairs_train": 12, "note": None})
    assert [row.title for row in estimates] == ["Accuracy"]
    assert [(row.title, row.value) for row in facts] == [("Pairs to train on", "12"), ("Note", "—")]


def test_lists_of_a_summary_become_tables():
    share = {"value": 0.8, "low": 0.7, "high": 0.9, "n": 40, "unit": ""}
    rows = [{"of": "over 9 tokens", "pairs": 1200, "accuracy": share}]
    summary = {"accuracy_by": rows, "center": 0.5, "none": []}
    (table,) = tables("reward", summary)
    assert table == (
        "Accuracy by agreement and length",
        ["Of", "Pairs", "Accuracy"],
        [["over 9 tokens", "1,200", "0.80 ± 0.10"]],
    )
    assert [row.title for rows in findings("reward", summary) for row in rows] == [
        "Center of the rewards"
    ]


def test_a_share_is_told_in_percent():
    _, facts = findings("generate", {"length/truncated": 0.0021, "logps/known": 1.0})
    assert [row.value for row in facts] == ["0.2 %", "100.0 %"]


def test_what_a_run_found_is_told_in_words():
    summary = {"divergence": "jensen_shannon", "length/mean": 21.5, "kl_limit": 4}
    _, facts = findings("align", summary)
    assert [(row.title, row.value) for row in facts] == [
        ("Divergence", "Jensen-Shannon"),
        ("Mean length (tokens)", "21.5"),
        ("KL limit", "4"),
    ]
