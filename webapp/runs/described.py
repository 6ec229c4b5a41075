"""Stored settings in people's words, for pages that show what a run was told."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from alignment.kinds.spec import CONFIGS
from alignment.seam.events import Fitted
from alignment.seam.records import Receipts
from webapp.projects.templatetags.display import estimate, number
from webapp.runs.forms import CHOICE_LABELS

SPELLED = {"kl": "KL", "nll": "NLL", "z": "Z"}  # parts of a summary's keys
TITLES = {  # of the keys that do not read as one
    "accuracy_by": "Accuracy by agreement and length",
    "answers_end_with": "An answer ends with",
    "answers_with_control_tokens": "Answers that hold control tokens, read as text; many servers obey them",
    "center": "Center of the rewards",
    "demonstrations_cut": "Demonstrations cut to the context",
    "demonstrations_heldout": "Held-out demonstrations",
    "demonstrations_train": "Demonstrations to train on",
    "divergence_target": "Divergence to the target",
    "diversity/distinct": "Unlike the prompt's other answers",
    "ece": "Calibration error",
    "ece_calibrated": "Calibration error after scaling",
    "kl_reference": "KL to the reference (nats)",
    "kl_start": "KL of the start to the reference (nats)",
    "labels_cut": "Labels cut to the context",
    "length/mean": "Mean length (tokens)",
    "length/truncated": "Cut at the length limit",
    "logps/known": "With log-probabilities",
    "nll": "Held-out loss (nats)",
    "nll_calibrated": "Held-out loss after scaling (nats)",
    "nll_labels": "Held-out loss of all labels (nats)",
    "pairs_contradicted": "Pairs that contradict others",
    "pairs_cut": "Pairs cut to the context",
    "pairs_heldout": "Held-out pairs",
    "pairs_train": "Pairs to train on",
    "perplexity_heldout": "Held-out perplexity",
    "prompt_ends_with": "A prompt ends with",
    "prompts_heldout": "Held-out prompts",
    "prompts_with_control_tokens": "Prompts that hold control tokens, read as text; many servers obey them",
    "rows": "Rows and the models' context",
    "scale": "Spread of the rewards",
    "seconds": "Time in the trainer (s)",
    "stored_completions": "Stored completions read",
    "temperature": "Calibration temperature",
    "ties_train": "Ties to train on",
    "turn_closes_with": "A turn closes with",
}
SHARES = {"length/truncated", "logps/known", "diversity/distinct", "ece", "ece_calibrated"}


class Setting(NamedTuple):
    """One setting of a run as it is shown."""

    title: str
    value: str
    unit: str


def described(kind: str, config: Mapping[str, object]) -> list[Setting]:
    """A run's settings under their titles; one that is no longer known keeps its name."""
    fields = CONFIGS[kind].model_fields
    rows = []
    for name, value in config.items():
        field = fields.get(name)
        unit = field.json_schema_extra["unit"] if field else ""
        rows.append(Setting(field.title if field else name, setting_in_words(value), unit))
    return rows


def setting_in_words(value: object) -> str:
    """A setting's value as it is read."""
    if isinstance(value, str):
        return CHOICE_LABELS.get(value, value)
    if isinstance(value, list | tuple):
        return ", ".join(agent_title(name) for name in value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:,}" if isinstance(value, int) else f"{value:g}"


def aim_in_words(config: Mapping[str, Any]) -> str:
    """What an alignment minimises by its settings, as sentences name it."""
    objective = config.get("objective", "fdpg")
    return CHOICE_LABELS.get(config["divergence"] if objective == "fdpg" else objective, "")


def agent_title(name: str) -> str:
    """What an agent of a population is called: after its divergence."""
    return CHOICE_LABELS.get(name, name).partition(",")[0]


class Agent(NamedTuple):
    """What a population's run says of one agent; all but the title are stored Estimates."""

    title: str
    reward: Mapping[str, object]
    gain: Mapping[str, object]
    kl: Mapping[str, object]
    divergence: Mapping[str, object] | None  # where some target was seen
    stopped: bool  # by its KL budget


def agents(summary: Mapping[str, Any]) -> list[Agent]:
    """The agents of a population, in the order of its settings; none for other runs."""
    return [
        Agent(
            agent_title(name),
            found["reward"],
            found["reward_gain"],
            found["kl_reference"],
            found.get("divergence_target"),
            found["stopped_by"] == "kl_budget",
        )
        for name, found in summary.get("agents", {}).items()
    ]


class Finding(NamedTuple):
    """One entry of a run's summary; an Estimate has its interval, anything else is just a value."""

    title: str
    estimate: Mapping[str, object] | None
    value: str


def findings(summary: Mapping[str, object]) -> tuple[list[Finding], list[Finding]]:
    """What a run reported at its end: its Estimates, and the rest but for tables of numbers."""
    rows = [
        Finding(title_of(name), entry, "")
        if isinstance(entry, Mapping)
        else Finding(title_of(name), None, share(entry) if name in SHARES else in_words(entry))
        for name, entry in summary.items()
        if not isinstance(entry, list) and (not isinstance(entry, Mapping) or "value" in entry)
    ]
    return [row for row in rows if row.estimate], [row for row in rows if not row.estimate]


class Table(NamedTuple):
    """Rows that a run reported under one title."""

    title: str
    columns: list[str]
    rows: list[list[str]]


def tables(summary: Mapping[str, Any]) -> list[Table]:
    """The lists in a run's summary, whose rows have the same columns."""
    return [
        Table(
            title_of(name),
            [title_of(column) for column in rows[0]],
            [[in_words(value) for value in row.values()] for row in rows],
        )
        for name, rows in summary.items()
        if isinstance(rows, list) and rows and isinstance(rows[0], Mapping)
    ]


def too_long(summary: Mapping[str, Any]) -> list[str]:
    """A sentence for each input of which rows were dropped or cut, as too long for a model."""
    rows = [Fitted.model_validate(row) for row in summary.get("rows", [])]
    return [row.sentence for row in rows if not row.all_fit]


def receipts_of(summary: Mapping[str, object]) -> Receipts | None:
    """What a run was checked for, where its kind is checked."""
    found = summary.get("receipts")
    return Receipts.model_validate(found) if found else None


def share(entry: object) -> str:
    """A number between 0 and 1 as it is read."""
    return f"{100 * entry:.1f} %" if isinstance(entry, float) else in_words(entry)


def in_words(entry: object) -> str:
    """A value of a summary as it is read."""
    if entry is None:
        return "—"
    if isinstance(entry, Mapping):
        return estimate(entry)
    if isinstance(entry, bool):
        return "yes" if entry else "no"
    if isinstance(entry, int):
        return f"{entry:,}"
    if isinstance(entry, str):
        return CHOICE_LABELS.get(entry, entry)
    return number(entry, 4) if isinstance(entry, float) else str(entry)


def title_of(name: str) -> str:
    """A summary's key as a title."""
    if name in TITLES:
        return TITLES[name]
    parts = name.replace("/", "_").split("_")
    words = " ".join(SPELLED.get(part, part) for part in parts).strip()
    return words[:1].upper() + words[1:]
