"""The options of the command line, drawn from the settings of each kind of run and from what it reads.

Torch-free. An option is called as its setting is, with dashes; a setting that is called as an input is
has the name in `RENAMED`.
"""

import argparse
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import BaseModel

from alignment.command_line import trl_rows
from alignment.kinds import KINDS

Schema = Mapping[str, Any]

COMMANDS: Mapping[str, str] = {kind.command: name for name, kind in KINDS.items() if kind.command}
RECEIPTS, GGUF = "receipts", "gguf"
GGUF_WEIGHTS = ("f16", "q8_0")
LEAVE_OUT, DRY_RUN = "leave_bad_rows_out", "dry_run"
RENAMED = {"prompts": "max_prompts", "judge": "judged_by"}
OF_A_RUN: Mapping[str, tuple[str, str]] = {
    "config": ("FILE.yaml", "inputs and settings by name; options given beside it count more"),
    "extends": (
        "FOLDER",
        "of a run, finished or not: go on from its newest checkpoint in a run of its own, with more steps",
    ),
    "output": ("FOLDER", "of the run: its result is FOLDER/output (default: a new one in runs/)"),
    "seed": ("N", "the same seed repeats the run (default: 0)"),
    "threads": ("N", "of the CPU (default: torch's choice)"),
    "events": ("FD", "- or a file descriptor: each event as a JSON line, and what else is told"),
    "processes": ("N", "that share the rows of a run, one per GPU (default: 1)"),
    "cache": ("FOLDER", "for what later runs can take from this one, by its hash (default: none)"),
}


OF_BAD_ROWS = "count rows that cannot be read, and go on without them; else they are refused"
OF_DRY_RUNS = "do one step of everything, say how long the whole would take, and leave nothing"


class _Role(NamedTuple):
    """What an input is, and how its rows become ours; a model's folder has no rows."""

    help: str
    rows: Callable[[Path, trl_rows.Told], Iterator[BaseModel]] | None = None


ROLES: Mapping[str, _Role] = {
    "policy": _Role("the model that is trained, or that answers"),
    "reference": _Role("the model to stay near, or to compare with; in training the policy itself"),
    "reward": _Role("a reward model"),
    "judge": _Role("a second reward model, of labels that nothing was trained on"),
    "corpus": _Role(
        "a file of documents: plain text, JSON lines or Parquet, packed by gzip or not"
    ),
    "facts": _Role("facts to edit, as lines or as JSON lines; else they are given by --lines"),
    "student": _Role("a smaller model that learns on; else it is made of the teacher's layers"),
    "texts": _Role(
        "a table of texts and their classes: CSV, TSV, JSON lines or Parquet, packed by gzip or not"
    ),
    "judged": _Role(
        "rows of labels of any kind, with flags beside them: a list of names in the column “flags”",
        trl_rows.judged,
    ),
    "classifier": _Role("a classifier of texts"),
    "rater": _Role(
        "a model that AutoModelForSequenceClassification loads, of any number of outputs"
    ),
    "answers": _Role(
        "rows with a prompt and what it should be answered, or several such answers",
        trl_rows.stored,
    ),
    "code": _Role(
        "a reward from code as the dashboard stores it, which is run apart from everything"
    ),
    "reward_function": _Role(
        "a function of yours that gives completions rewards: of prompts, completions and columns, lists"
    ),
    "reward_command": _Role(
        "a command of yours that reads a line of JSON for each completion and writes one with its reward"
    ),
    "tokenizer": _Role("the model whose tokenizer a new one takes"),
    "backbone": _Role("the model that the reward model starts from"),
    "prompts": _Role("rows with a prompt, whatever else they hold", trl_rows.prompts),
    "held_out": _Role(
        "other rows with a prompt, which only measure; else a fifth of the prompts does",
        trl_rows.prompts,
    ),
    "pairs": _Role("rows with chosen and rejected, and a prompt or none", trl_rows.pairs),
    "demonstrations": _Role(
        "rows with prompt and completion, or with messages", trl_rows.demonstrations
    ),
    "completions": _Role(
        "rows with prompt and completion, generated before by any model", trl_rows.stored
    ),
    "thumbs": _Role("rows with prompt, completion and label", trl_rows.thumbs),
    "rankings": _Role(
        "rows with completions and ranks, or with chosen and rejected", trl_rows.labels
    ),
    "preferences": _Role("rows with chosen and rejected, learned from beside", trl_rows.pairs),
    "evaluation": _Role("other rows of labels, which only measure", trl_rows.labels),
    "asked": _Role(
        "rows with chosen and rejected: pairs that people have compared, which are not proposed again",
        trl_rows.asked_pairs,
    ),
    "deployment": _Role(
        "rows with a prompt as the deployed model will be asked; else those of training",
        trl_rows.prompts,
    ),
}
OWN_CODE = {"reward_function": "FILE.py:NAME", "reward_command": "COMMAND"}
FILES = ("corpus", "facts", "texts")  # roles of files that are read as they are
OF_REWARD: Mapping[str, _Role] = {
    "pairs": _Role(
        "rows with chosen and rejected; with left and right, a tie; with completion and label, or "
        "rating; with completions and ranks",
        trl_rows.labels,
    )
}


OF_KINDS: Mapping[str, Mapping[str, _Role]] = {
    "reward": OF_REWARD,
    "align": {
        "evaluation": _Role("other rows with a prompt, which only measure", trl_rows.prompts)
    },
    "sft": {
        "evaluation": _Role(
            "other rows with prompt and completion, or with messages, which only measure",
            trl_rows.demonstrations,
        )
    },
}


def add_commands(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add a command for every kind of run that starts from files."""
    for command, kind in COMMANDS.items():
        about = first_line(KINDS[kind].settings)
        parser = commands.add_parser(
            command,
            help=about,
            description=about,
            usage=f"%(prog)s {_usage(kind)}[--output FOLDER] [--config FILE.yaml] [--SETTING VALUE …]",
            argument_default=argparse.SUPPRESS,
            allow_abbrev=False,
        )
        inputs = parser.add_argument_group("inputs")
        for role in roles_of(kind):
            about = role_of(kind, role).help
            inputs.add_argument(flag(role), metavar=_file(role), help=about)
        run = parser.add_argument_group("run")
        for name, (metavar, about) in OF_A_RUN.items():
            run.add_argument(flag(name), metavar=metavar, help=about)
        run.add_argument(flag(DRY_RUN), action="store_true", help=OF_DRY_RUNS)
        run.add_argument("--resume", action="store_true", help="go on with the run in --output")
        run.add_argument(flag(LEAVE_OUT), action="store_true", help=OF_BAD_ROWS)
        _add_settings(parser, kind)


def add_gguf(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command that writes a model as one file for other programs."""
    about = (
        "write a model as one GGUF file, as llama.cpp and its like read it, and compare its answers"
    )
    parser = commands.add_parser(GGUF, help=about, description=about)
    parser.add_argument("--policy", type=Path, required=True, metavar="FOLDER", help="the model")
    parser.add_argument("--weights", choices=GGUF_WEIGHTS, default="f16", help="(default: f16)")
    parser.add_argument("--output", type=Path, required=True, metavar="FILE.gguf", help="where")


def add_receipts(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command that checks the settings of an alignment without a model."""
    about = "check the gradient of an alignment's settings, exactly, on a toy; in seconds"
    parser = commands.add_parser(
        RECEIPTS,
        help=about,
        description=f"{about[0].upper()}{about[1:]}.",
        usage="%(prog)s [--config FILE.yaml] [--SETTING VALUE …]",
        argument_default=argparse.SUPPRESS,
        allow_abbrev=False,
    )
    parser.add_argument("--config", metavar="FILE.yaml", help=OF_A_RUN["config"][1])
    _add_settings(parser, "align")


def _add_settings(parser: argparse.ArgumentParser, kind: str) -> None:
    topics: dict[str, argparse._ArgumentGroup] = {}
    for name, field in settings_of(kind).items():
        title = field["topic"].lower()
        if title not in topics:
            topics[title] = parser.add_argument_group(title)
        about = f"{field['title']}: {field['description']} {_in_words(field)}".replace("%", "%%")
        topics[title].add_argument(flag(name), metavar="VALUE", help=about)


def flag(name: str) -> str:
    """How an input or a setting is called on the command line."""
    return f"--{name.replace('_', '-')}"


def settings_of(kind: str) -> dict[str, Schema]:
    """The schemas of a kind's settings by their names here; not those that the web app alone reads."""
    fields = schemas_of(KINDS[kind].settings).items()
    return {own_name(kind, name): field for name, field in fields if not field["dashboard"]}


@cache
def schemas_of(settings: type[BaseModel]) -> Mapping[str, Schema]:
    """The JSON Schema of each of a kind's settings, which takes milliseconds to make; to be read only."""
    found: Mapping[str, Schema] = settings.model_json_schema()["properties"]
    return found


def own_name(kind: str, setting: str) -> str:
    """How a setting of a kind is called here."""
    return RENAMED[setting] if setting in roles_of(kind) else setting


def role_of(kind: str, role: str) -> _Role:
    """What an input of a kind is; reward models learn from every kind of label."""
    return OF_KINDS.get(kind, {}).get(role, ROLES[role])


def roles_of(kind: str) -> list[str]:
    """The roles of a kind's inputs."""
    return list(KINDS[kind].files)


def known_options(command: str) -> list[str]:
    """All options of a command."""
    kind = "align" if command == RECEIPTS else COMMANDS.get(command)
    of_a_run = [*OF_A_RUN, "resume", LEAVE_OUT, DRY_RUN]
    names = [*roles_of(kind), *of_a_run, *settings_of(kind)] if kind else []
    names += ["policy", "weights", "output"] if command == GGUF else []
    return [flag(name) for name in names]


def field_lines(kind: str) -> list[str]:
    """Each setting of a kind: name, default, bounds, unit, what it does."""
    lines = [first_line(KINDS[kind].settings)]
    for name, field in schemas_of(KINDS[kind].settings).items():
        unit = f" {field['unit']}" if field.get("unit") else ""
        lines.append(f"\n{name} = {default_of(field)}{unit}   ({bounds(field)})")
        lines.append(f"    {field['title']}: {field['description']}")
    return lines


def first_line(config: type) -> str:
    """What a kind of run does."""
    return (config.__doc__ or "").strip().splitlines()[0]


def _in_words(field: Schema) -> str:
    """Default, unit and bounds of a setting, and the choices that it is read for."""
    when = [f"{name} {' or '.join(values)}" for name, values in field["when"].items()]
    parts = [
        f"default: {default_of(field)} {field['unit']}".strip(),
        bounds(field),
        f"read for {' and '.join(when)}" if when else "",
        f"read with {' or '.join(field['beside'])}" if field["beside"] else "",
    ]
    return f"({'; '.join(filter(None, parts))})"


def default_of(field: Schema) -> str:
    """What a setting is where nothing is given, as it would be given."""
    default = field["default"]
    if field["type"] == "array":
        return ",".join(default)
    if field["type"] == "boolean":
        return str(default).lower()
    return "empty" if default == "" else str(default)


def bounds(field: Schema) -> str:
    """The values that a setting may have; of a list, with commas between them."""
    if field["type"] == "array":
        return (
            f"{field['minItems']} to {field['maxItems']}, with commas, of {bounds(field['items'])}"
        )
    if field["type"] == "boolean":
        return "true | false"
    if "enum" in field:
        return " | ".join(map(str, field["enum"]))
    signs = {"exclusiveMinimum": ">", "minimum": "≥", "exclusiveMaximum": "<", "maximum": "≤"}
    found = [f"{sign} {field[name]}" for name, sign in signs.items() if name in field]
    return ", ".join(found) or f"≤ {field.get('maxLength', 'any number of')} characters"


def _usage(kind: str) -> str:
    groups = [" | ".join(f"{flag(r)} {_file(r)}" for r in group) for group in KINDS[kind].needed]
    return "".join(f"({group}) " if "|" in group else f"{group} " for group in groups)


def _file(role: str) -> str:
    if role in OWN_CODE:
        return OWN_CODE[role]
    if role in FILES:
        return "FILE"
    return "FILE.jsonl" if ROLES[role].rows else "FOLDER"
