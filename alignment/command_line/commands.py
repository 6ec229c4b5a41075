"""A run from the command line: its settings and files become a run folder, which `run` computes.

    python -m alignment sft --policy FOLDER --demonstrations FILE.jsonl --epochs 2 --output FOLDER

Torch-free. A YAML file holds the options by the same names; a key may have underscores or dashes.
"""

import json
import os
import shutil
import sys
from collections.abc import Collection, Iterable, Mapping
from contextlib import ExitStack
from difflib import get_close_matches
from itertools import count
from pathlib import Path
from typing import Any, BinaryIO

import yaml
from pydantic import ValidationError

from alignment.command_line.options import (
    COMMANDS,
    DRY_RUN,
    FILES,
    LEAVE_OUT,
    OF_A_RUN,
    OWN_CODE,
    flag,
    own_name,
    role_of,
    roles_of,
    settings_of,
)
from alignment.command_line.own_code import store_own_command, store_own_function
from alignment.command_line.trl_rows import Told, completion_rows
from alignment.kinds import KINDS
from alignment.kinds.extension import extension_fault, lengths_of
from alignment.kinds.settings.drawing import WarpSettings
from alignment.kinds.spec import RunSpec
from alignment.seam import control
from alignment.seam.errors import CheckpointError, ConfigError, DataError
from alignment.seam.folders import MANIFEST, verify
from alignment.seam.records import CompletionRecord, PromptRecord, read_jsonl, write_jsonl
from alignment.seam.settings import Settings

WEIGHING = ("align", "population")  # whose objectives take no other sampler than the policy
READ = "inputs/read.json"  # sentences about what was read of the files, and what was not


def prepared(command: str, given: Mapping[str, Any]) -> Path:
    """A run folder with `config.json` and inputs as our records; raises ConfigError, DataError."""
    kind = COMMANDS[command]
    options = from_yaml(kind, given.get("config")) | dict(given)
    if options.get("resume"):
        return resumed(kind, options)
    if "extends" in options:
        return extended(command, options)
    options = weighing_code(kind, options)
    settings, inputs = _settings(kind, options), inputs_of(kind, options)
    _check_read(kind, settings, [role for role in inputs if role in options])
    config = settings.model_dump(mode="json")
    folder = empty_folder(command, options)
    with ExitStack() as undo:
        undo.callback(shutil.rmtree, folder, ignore_errors=True)
        (folder / "inputs").mkdir(parents=True)
        leaves, keeps = chosen_of(options, LEAVE_OUT), bool(code_named(options))
        told = {role: Told(leaves, keeps=keeps) for role in inputs}
        files = {r: _placed(kind, r, path, folder, told[r]) for r, path in inputs.items()}
        files |= place_code(options, folder)
        read = {role: inputs[role].name for role in told if role_of(kind, role).rows}
        said = [one for role, name in read.items() for one in told[role].sentences(name, role)]
        (folder / READ).write_text(json.dumps(said, ensure_ascii=False), encoding="utf-8")
        spec = RunSpec(
            kind=kind, run=0, epoch=0, config=config, inputs=files, **of_the_run(options)
        )
        _store(spec, folder)
        undo.pop_all()
    return folder


def empty_folder(command: str, options: Mapping[str, Any]) -> Path:
    """Where a new run is computed; raises ConfigError where something is there."""
    folder = Path(options["output"]) if "output" in options else new_folder(command)
    if folder.exists() and any(folder.iterdir()):
        raise ConfigError(f"{folder} is not empty; name another --output, or --resume its run.")
    return folder


def extended(command: str, options: Mapping[str, Any]) -> Path:
    """The folder of a new run that goes on from another's newest checkpoint, with more steps; raises ConfigError."""
    kind, source = COMMANDS[command], Path(options["extends"])
    if not (source / "config.json").is_file():
        raise ConfigError(
            f"There is no run in {source}; say with --extends which run to go on from."
        )
    before = RunSpec.load(source)
    if before.kind != kind:
        raise ConfigError(f"The run in {source} is of kind {before.kind}.")
    if not lengths_of(before.described):
        raise ConfigError(f"A run of kind {kind} cannot be extended.")
    config = _extension_of(before, options)
    checkpoint = _newest_checkpoint(source)
    if checkpoint is None:
        raise ConfigError(
            f"The run in {source} has kept no checkpoint to go on from: one is saved every "
            "--checkpoint-every steps, and with --keep-end of its end."
        )
    folder = empty_folder(command, options)
    folder.mkdir(parents=True, exist_ok=True)
    at = {role: str((source / path).resolve()) for role, path in before.inputs.items()}
    changed = {"config": config, "inputs": at, "extends": str(source.resolve())}
    changed["resume_from"] = str((source / checkpoint).resolve())
    _store(before.model_copy(update=changed), folder)
    return folder


def _extension_of(before: RunSpec, options: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a run that extends another; raises ConfigError where more than its length would change."""
    kind = before.kind
    known = {own_name(kind, name): value for name, value in before.config.items()}
    config = _validated(kind, known | dict(options))
    if (fault := extension_fault(before.described, before.config, config)) is not None:
        name, reason = fault
        raise ConfigError(f"{flag(own_name(kind, name))}: {reason}.")
    return config


def code_named(options: Mapping[str, Any]) -> str:
    """The option that names a reward from code; empty where none does. Raises ConfigError where several do."""
    named = [name for name in ("code", *OWN_CODE) if name in options]
    if len(named) > 1:
        raise ConfigError(f"A run reads one reward from code; leave {flag(named[1])} out.")
    return "".join(named)


def weighing_code(kind: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Options by which a reward from code that is named counts, and no reward model where none is named."""
    implied: dict[str, Any] = {}
    if code_named(options) and "code_weight" in KINDS[kind].settings.model_fields:
        implied = {"code_weight": 1.0} | ({} if "reward" in options else {"reward_weight": 0.0})
    return implied | dict(options)


def place_code(options: Mapping[str, Any], folder: Path) -> dict[str, str]:
    """Write down in a run folder which function or command of the user's own gives rewards; its path for RunSpec."""
    store = {"reward_function": store_own_function, "reward_command": store_own_command}
    for name in store.keys() & options.keys():
        (folder / "inputs" / "code").mkdir()
        store[name](folder / "inputs" / "code", str(options[name]))
        return {"code": "inputs/code"}
    return {}


def settled(kind: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """All settings of a kind from a file and options; raises ConfigError."""
    return _validated(kind, from_yaml(kind, given.get("config")) | dict(given))


def resumed(kind: str, options: Mapping[str, Any]) -> Path:
    """The folder of a run to go on with, from its newest checkpoint; raises ConfigError."""
    folder = Path(options.get("output", "."))
    if chosen_of(options, DRY_RUN):
        raise ConfigError("A dry run keeps nothing that could be gone on with; leave --resume out.")
    if not (folder / "config.json").is_file():
        raise ConfigError(f"There is no run in {folder}; say with --output which run to resume.")
    spec = RunSpec.load(folder)
    if spec.kind != kind:
        raise ConfigError(f"The run in {folder} is of kind {spec.kind}.")
    if (folder / "output" / MANIFEST).exists():
        raise ConfigError(f"The run in {folder} is finished: see {folder / 'output'}.")
    before = {own_name(kind, name): value for name, value in spec.config.items()}
    for name, value in _validated(kind, before | dict(options)).items():
        usual = (
            KINDS[kind].settings.model_fields[name].default
        )  # of a setting that is newer than the run
        if value != (known := spec.config.get(name, usual)):
            raise ConfigError(
                f"The run in {folder} began with {flag(own_name(kind, name))} {known}; "
                "begin a new run to change it."
            )
    (folder / control.FILE).unlink(missing_ok=True)
    begun_with = spec.resume_from if spec.extends else None
    newest = _newest_checkpoint(folder) or begun_with
    _store(spec.model_copy(update={"resume_from": newest}), folder)
    return folder


def _newest_checkpoint(folder: Path) -> str | None:
    """The name of a run's newest checkpoint that verifies; None where there is none."""
    saved = sorted(path.parent for path in folder.glob(f"ckpt-*/{MANIFEST}"))
    return next((path.name for path in reversed(saved) if is_whole(path)), None)


def is_whole(checkpoint: Path) -> bool:
    """Whether a checkpoint holds what it should."""
    try:
        verify(checkpoint)
    except CheckpointError:
        return False
    return True


def share_completions(folder: Path) -> None:
    """Write what a generate run drew as rows that other commands and TRL read."""
    prompts = read_jsonl(folder / "inputs" / "prompts.jsonl", PromptRecord)
    drawn = read_jsonl(folder / "output" / "completions.jsonl", CompletionRecord)
    with (folder / "completions.jsonl").open("w", encoding="utf-8") as lines:
        for row in completion_rows(prompts, drawn):
            lines.write(json.dumps(row, ensure_ascii=False) + "\n")


def read_spec(folder: Path) -> RunSpec:
    """The `config.json` of a run folder; raises ConfigError."""
    try:
        spec = RunSpec.load(folder)
        spec.settings()
    except FileNotFoundError as error:
        raise ConfigError("The run folder has no config.json.") from error
    except ValidationError as error:
        wrong = [f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()]
        raise ConfigError("config.json is wrong. " + "; ".join(wrong)) from error
    return spec


def begun(folder: Path) -> bool:
    """Whether a run has got past its refusals: it was ready to compute."""
    return b'{"type":"ready"' in (folder / "events.jsonl").read_bytes()


def about_rows(folder: Path) -> list[str]:
    """Sentences about what was read of a new run's files, and what of that does not take part."""
    path = folder / READ
    said: list[str] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else []
    note = left_out(folder)
    return [*said, note] if note else said


def left_out(folder: Path) -> str:
    """A sentence about prompts that do not take part; empty where all of them do."""
    spec = RunSpec.load(folder)
    if "prompts" not in spec.inputs or "prompts" not in spec.config:
        return ""
    with (folder / spec.inputs["prompts"]).open(encoding="utf-8") as lines:
        rows, used = sum(1 for _ in lines), int(spec.config["prompts"])
    option = flag(own_name(spec.kind, "prompts"))
    return f"The first {used} of {rows} prompts take part; {option} changes it." * (rows > used)


def from_yaml(kind: str, path: str | None) -> dict[str, Any]:
    """The options in a file; raises ConfigError where one of them is unknown."""
    if path is None:
        return {}
    try:
        found = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise ConfigError(f"{path} cannot be read: {error}") from error
    if not isinstance(found, dict):
        raise ConfigError(f"{path} holds no options; write one on a line, as in “epochs: 2”.")
    options = {str(name).replace("-", "_"): value for name, value in found.items()}
    known = [*settings_of(kind), *roles_of(kind), *OF_A_RUN, LEAVE_OUT, DRY_RUN]
    for name in options:
        if name not in known:
            raise ConfigError(f"{path}: there is no “{name}”{instead(kind, name, known)}.")
    return options


def instead(kind: str, name: str, known: Iterable[str]) -> str:
    """What was probably meant by an unknown name, or why there can be no such setting, as the end of a sentence."""
    setting = name.strip("-").replace("-", "_")
    if kind in WEIGHING and setting in WarpSettings.model_fields:
        return (
            ": it weighs completions by the policy's own chances, so it draws from the policy itself; "
            "generate and evaluate have it"
        )
    return near(name, known)


def near(name: str, known: Iterable[str]) -> str:
    """The known name that was probably meant, as the end of a sentence."""
    found = get_close_matches(name, list(known), n=1)
    return f"; did you mean “{found[0]}”?" if found else ""


def _validated(kind: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """All settings of a kind as JSON has them, defaults included. Raises as `_settings`."""
    return _settings(kind, options).model_dump(mode="json")


def _settings(kind: str, options: Mapping[str, Any]) -> Settings:
    """The settings of a kind; raises ConfigError naming each wrong option."""
    names = {own_name(kind, name): name for name in KINDS[kind].settings.model_fields}
    lists = {name for name, field in settings_of(kind).items() if field["type"] == "array"}
    values = {
        names[name]: value.split(",") if name in lists and isinstance(value, str) else value
        for name, value in options.items()
        if name in names
    }
    try:
        return KINDS[kind].settings.model_validate(values)
    except ValidationError as error:
        raise ConfigError("; ".join(wrong(kind, problem) for problem in error.errors())) from error


def wrong(kind: str, problem: Mapping[str, Any]) -> str:
    """What pydantic says of an option, with the choice that was probably meant."""
    said = str(problem["msg"]).removeprefix("Value error, ")
    if not problem["loc"]:
        return said
    name = own_name(kind, str(problem["loc"][0]))
    field = settings_of(kind).get(name, {})
    choices = field.get("items", field).get("enum", [])
    return f"{flag(name)}: {said}{near(str(problem['input']), choices)}"


def of_the_run(options: Mapping[str, Any]) -> dict[str, Any]:
    """Seed, threads and cache, where they are given, and whether one step will do; raises ConfigError."""
    found: dict[str, Any] = {
        name: _whole(options, name) for name in ("seed", "threads") if name in options
    }
    if not -(2**31) <= found.get("seed", 0) < 2**31:
        raise ConfigError(f"{flag('seed')} is a whole number of 32 bits.")
    if "cache" in options:
        found["cache"] = str(Path(str(options["cache"])).resolve())
    return found | {"dry": chosen_of(options, DRY_RUN)}


def processes_of(command: str, given: Mapping[str, Any]) -> int:
    """How many processes share the rows of a command's run; raises ConfigError."""
    options = from_yaml(COMMANDS[command], given.get("config")) | dict(given)
    if os.environ.get("WORLD_SIZE", "1") != "1":
        raise ConfigError(
            "torchrun starts “run FOLDER”; here, --processes says how many there are."
        )
    count = max(1, _whole(options, "processes")) if "processes" in options else 1
    if count > 1 and not KINDS[COMMANDS[command]].shared:
        raise ConfigError(f"{command} computes in one process; leave --processes out.")
    return count


def pipe_of(command: str, given: Mapping[str, Any]) -> BinaryIO | None:
    """Where events are to be written as JSON lines; None where nobody asks for them. Raises ConfigError."""
    options = from_yaml(COMMANDS[command], given.get("config")) | dict(given)
    if (told := options.get("events")) is None:
        return None
    if processes_of(command, given) > 1:
        raise ConfigError(
            f"Of several processes none has the pipe; leave {flag('events')} out, and read FOLDER/events.jsonl."
        )
    try:
        return os.fdopen(os.dup(sys.stdout.fileno() if told == "-" else int(told)), "wb")
    except (TypeError, ValueError, OSError) as error:
        raise ConfigError(
            f"{flag('events')} is - or the number of a file descriptor that is open."
        ) from error


def _whole(options: Mapping[str, Any], name: str) -> int:
    """An option as a whole number; raises ConfigError."""
    try:
        return int(options[name])
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{flag(name)} is a whole number.") from error


def chosen_of(options: Mapping[str, Any], name: str) -> bool:
    """Whether an option that is there or not is there; raises ConfigError."""
    found = options.get(name, False)
    if not isinstance(found, bool):
        raise ConfigError(f"{flag(name)} is true or false.")
    return found


def inputs_of(kind: str, options: Mapping[str, Any]) -> dict[str, Path]:
    """Where each input is, by role; raises ConfigError where one is missing."""
    roles = [role for role in roles_of(kind) if role not in OWN_CODE]
    found = {role: Path(str(options[role])) for role in roles if role in options}
    if KINDS[kind].trains_beside and "policy" in found:  # it starts where it is to stay near
        found.setdefault("reference", found["policy"])
    for group in KINDS[kind].needed:
        if not found.keys() & set(group):
            raise ConfigError(f"Say with {' or '.join(map(flag, group))} what to work on.")
    return found


def _check_read(kind: str, settings: Settings, given: Collection[str]) -> None:
    """Raise ConfigError for an input that nothing reads: it would be left out in silence."""
    if unread := KINDS[kind].unread(settings, given):
        raise ConfigError(
            f"Nothing reads {flag(unread[0])} with these settings; leave it out, or change them."
        )


def _placed(kind: str, role: str, path: Path, folder: Path, told: Told) -> str:
    """The path of an input for RunSpec: of a model, or of rows turned into records, and what is told."""
    if role in FILES:
        if not path.is_file():
            raise DataError(f"{flag(role)}: {path} is not a file.")
        return str(path.resolve())
    if (rows := role_of(kind, role).rows) is None:
        result = path / "output"
        path = result if (result / MANIFEST).is_file() else path
        if not path.is_dir():
            raise DataError(f"{flag(role)}: {path} is not a folder.")
        return str(path.resolve())
    try:
        write_jsonl(folder / "inputs" / f"{role}.jsonl", rows(path, told))
    except OSError as error:
        raise DataError(f"{flag(role)}: {path} cannot be read: {error}") from error
    except DataError as error:
        raise DataError(f"{error} {flag(LEAVE_OUT)} leaves out what cannot be read.") from error
    return f"inputs/{role}.jsonl"


def _store(spec: RunSpec, folder: Path) -> None:
    """Write `config.json`."""
    (folder / "config.json").write_text(spec.model_dump_json(indent=1), encoding="utf-8")


def new_folder(command: str) -> Path:
    """A folder that is not there yet."""
    numbered = (Path("runs") / f"{command}-{number}" for number in count(1))
    return next(path for path in numbered if not path.exists())
