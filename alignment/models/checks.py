"""A model's folder as its loaders will see it, looked at in a fork with limits before anything is loaded.

Whatever somebody's files make a loader do (loop, take all memory, fall over) happens in the fork; the
refusal names the file. What was fine is remembered by its content for as long as this process lives.
"""

import hashlib
import math
import string
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import torch
from tokenizers import Tokenizer
from transformers import AutoConfig, AutoModel, AutoTokenizer, GenerationConfig
from transformers.models.auto.modeling_auto import MODEL_MAPPING_NAMES

from alignment.foreign import templates
from alignment.foreign.forks import Tell, judged
from alignment.models.unfilled import Unfilled
from alignment.seam.errors import AlignmentError, DataError
from alignment.seam.modelfiles import (
    FORM,
    MOST_HEADER,
    MOST_JSON,
    WEIGHTS,
    check_json,
    header_of,
    printable,
    read_object,
)
from alignment.seam.words import _

TEMPLATE, SETTINGS, VOCABULARY = "chat_template.jinja", "tokenizer_config.json", "tokenizer.json"
GENERATION = "generation_config.json"
READ = (
    "merges.txt", "vocab.txt", "vocab.json", "tokenizer.model", "spiece.model", VOCABULARY, SETTINGS,
    "special_tokens_map.json", "added_tokens.json", TEMPLATE, "config.json", "generation_config.json",
    "model.safetensors.index.json", "adapter_config.json", "chat_template.json",
    FORM,
)  # fmt: skip
LONG = {VOCABULARY, "vocab.json", "merges.txt", "vocab.txt", "tokenizer.model", "spiece.model"}
MOST_SETTINGS = 16 << 20  # bytes of any other file
RUN = 300  # characters of a probe: what backtracks shows on long runs of one kind
PROBES = (
    string.printable,
    "The quick brown fox's 1,234.5 jumps;\n\n\tover — “lazy” Ünïcödé 漢字かな 한글 🙂👍🏽 e\u0301\u0302.",
    *(
        kind * (RUN // len(kind))
        for kind in ("a", "A", "7", " ", "\n", "-", "_", ".", "!", "/", "é", "漢")
    ),
    *(
        kind * (RUN // len(kind)) + "\x00!"
        for kind in ("ab", "a1", "a ", " \n", "aA", "'s", "1,", "e\u0301")
    ),
)
GROWTH = 64  # times that replacements may lengthen a text
PER_BYTE, BESIDE = 4, 256  # tokens of a text: for each byte, and what is put around it
DEEPEST = 512  # layers
FEWEST = 0.5  # share of the described weights that the files must hold
MOST_BUFFERS = 1 << 29  # bytes that a model holds beside its weights, such as masks
VOCABULARIES = (VOCABULARY, "tokenizer.model", "vocab.json", "vocab.txt", "spiece.model")
LENGTH, CHUNK = 8, 1 << 20  # bytes
LONGEST_TOKEN = 10_000  # characters
TRIED = ({"role": "user", "content": "Hello"},)


class Template(NamedTuple):
    """A chat template, the file that it is in, and the special tokens that it may write by name."""

    source: str | Mapping[str, str]
    file: str
    special: Mapping[str, Any]


_fine: set[bytes] = set()


def check_apart(folder: Path, first: Callable[[Path], object] | None = None) -> None:
    """Raise DataError, naming file and cause, for a folder whose files are no model's or ask for too much.

    `first` is looked at before, in the same fork. A file that is not there is not missed here.
    """
    known = _fingerprint(folder)
    if first is None and known in _fine:
        return
    if (
        template := judged(lambda tell: _check(folder, tell, first), 2 * len(_files(folder)) or 1)
    ) is not None:
        source, file, special = template
        templates.render(source, TRIED, special=special, generation=True, file=file)
    _fine.add(known)


def _fingerprint(folder: Path) -> bytes:
    """A hash of all that loaders read before the weights; raises DataError for what is no plain file."""
    found = hashlib.sha256()
    for path in _files(folder):
        if not path.is_file():
            raise DataError(_("{name} is not a plain file.").format(name=path.name))
        with path.open("rb") as source:
            size, most = path.stat().st_size, MOST_JSON
            if WEIGHTS.fullmatch(path.name):
                most = min(int.from_bytes(source.read(LENGTH), "little"), MOST_HEADER) + LENGTH
                source.seek(0)
            elif size > (most := MOST_JSON if path.name in LONG else MOST_SETTINGS):
                raise DataError(
                    _("{name} is larger than {most} MiB.").format(name=path.name, most=most >> 20)
                )
            found.update(f"{path.name} {size} ".encode())
            while most > 0 and (part := source.read(min(most, CHUNK))):
                found.update(part)
                most -= len(part)
    return found.digest()


def _files(folder: Path) -> list[Path]:
    """What a loader of models would open here; nothing where there is no folder."""
    paths = sorted(folder.iterdir()) if folder.is_dir() else []
    return [path for path in paths if path.name in READ or WEIGHTS.fullmatch(path.name)]


def _check(folder: Path, tell: Tell, first: Callable[[Path], object] | None) -> Template | None:
    """Each file in turn; the chat template, the file it is in and the tokens it may write."""
    files = {path.name: path for path in _files(folder)}
    for name, path in files.items():
        tell(name)
        if path.suffix == ".json":
            check_json(path)
        elif path.suffix in (".jinja", ".txt"):
            with blaming(f"{name} is no text"):
                path.read_text(encoding="utf-8")
    if first is not None:
        first(folder)
    elements = sum(_elements(path, tell) for path in files.values() if WEIGHTS.fullmatch(path.name))
    if "config.json" in files:
        tell("config.json")
        check_config(
            folder, 0 if FORM in files else elements
        )  # what a form stands for is another number
    if GENERATION in files:
        tell(GENERATION)
        with blaming(f"{GENERATION} cannot be understood"):
            GenerationConfig.from_pretrained(folder)
    return _check_texts(folder, files, tell)


def _elements(path: Path, tell: Tell) -> int:
    """How many numbers a weight file holds, by its header."""
    tell(path.name)
    return sum(math.prod(shape) for _, _, shape in header_of(path))


def _check_texts(folder: Path, files: Mapping[str, Path], tell: Tell) -> Template | None:
    """What reads and writes texts; the chat template, if there is one."""
    if not any(name in files for name in VOCABULARIES):
        return None
    if VOCABULARY in files:
        tell(VOCABULARY)
        check_vocabulary(files[VOCABULARY])
    tell(SETTINGS if SETTINGS in files else VOCABULARY)
    return check_tokenizer(folder, TEMPLATE if TEMPLATE in files else SETTINGS)


def check_config(folder: Path, elements: int) -> None:
    """Raise DataError where config.json describes what cannot be built, or much more than the files hold."""
    document = read_object(folder / "config.json")
    if document.get("model_type") not in MODEL_MAPPING_NAMES:
        return  # whoever loads it says so
    for name, layers in _numbers(document, "layer"):
        if layers > DEEPEST:
            raise DataError(
                _("config.json describes {layers:,.0f} layers (“{name}”).").format(
                    layers=layers, name=name
                )
            )
    with blaming("config.json cannot be understood"):
        config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        with Unfilled(), torch.device("meta"):
            model: Any = AutoModel.from_config(config, trust_remote_code=False)  # type: ignore[no-untyped-call]  # transformers has no types for it
    buffers = sum(buffer.nbytes for buffer in model.buffers())
    if buffers > MOST_BUFFERS:
        raise DataError(
            _("config.json asks for {buffers:,.1f} GB beside its weights.").format(
                buffers=buffers / 1e9
            )
        )
    parameters = int(model.num_parameters())
    if elements and elements < FEWEST * parameters:
        raise DataError(
            _("config.json describes {parameters:,} weights; the files hold {elements:,}.").format(
                parameters=parameters, elements=elements
            )
        )


def _numbers(document: Mapping[str, Any], word: str) -> Iterator[tuple[str, float]]:
    """Each number whose name has this word, at any depth."""
    left: list[Mapping[str, Any]] = [document]
    while left:
        for name, value in left.pop().items():
            if isinstance(value, dict):
                left.append(value)
            elif isinstance(value, (int, float)) and word in name:
                yield name, value


def check_vocabulary(path: Path) -> None:
    """Raise DataError for a tokenizer that makes long texts of short ones, or gives up on some."""
    document = read_object(path)
    for part in ("normalizer", "decoder"):
        if (times := growth(document.get(part))) > GROWTH:
            raise DataError(
                _(
                    "{name} replaces letters of a text by others {times:,.0f} times as long ({part}); at "
                    "most {growth} are read."
                ).format(name=path.name, times=times, part=part, growth=GROWTH)
            )
    longest = max(map(len, _entries(document.get("model"))), default=0)
    if longest > LONGEST_TOKEN:
        raise DataError(
            _("{name} has a token of {longest:,} letters.").format(name=path.name, longest=longest)
        )
    with blaming(f"{path.name} is no tokenizer that can be loaded"):
        tokenizer = Tokenizer.from_file(str(path))
    try_texts(path.name, lambda text: tokenizer.encode(text).ids, tokenizer.decode)


def check_tokenizer(folder: Path, file: str) -> Template | None:
    """The chat template of a tokenizer that loads and reads; raises DataError."""
    with blaming(f"{_named(folder)}: the tokenizer cannot be loaded"):
        tokenizer = AutoTokenizer.from_pretrained(
            folder, local_files_only=True, trust_remote_code=False
        )
    try_texts(_named(folder), lambda text: list(tokenizer(text)["input_ids"]), tokenizer.decode)
    if tokenizer.chat_template is None:
        return None
    return Template(tokenizer.chat_template, file, dict(tokenizer.special_tokens_map))


@contextmanager
def blaming(what: str) -> Iterator[None]:
    """Tell a foreign loader's error as a refusal: whatever it is, the files are why it was raised."""
    try:
        yield
    except (AlignmentError, MemoryError):
        raise
    except BaseException as error:  # a panic of Rust is no Exception, and we are in a fork
        reason = printable(str(error).strip().partition("\n")[0])
        raise DataError(f"{what}: {type(error).__name__}: {reason}") from error


def try_texts(
    file: str, encode: Callable[[str], list[int]], decode: Callable[[list[int]], object]
) -> None:
    """Read and write texts of many kinds; raises DataError for a tokenizer that fails or multiplies."""
    for text in PROBES:
        with blaming(f"{file} does not read every text"):
            ids = encode(text)
        most = PER_BYTE * len(text.encode()) + BESIDE
        if len(ids) > most:
            raise DataError(
                _("{file} makes {n:,} tokens of a text of {letters} letters.").format(
                    file=file, n=len(ids), letters=len(text)
                )
            )
        with blaming(f"{file} does not write every text"):
            decode(ids)


def growth(part: object) -> float:
    """How many times longer a normalizer's replacements, one after another, can make a text."""
    times, left = 1.0, [part]
    while left:
        one = left.pop()
        if isinstance(one, list):
            left += one
        elif isinstance(one, dict):
            left += [value for value in one.values() if isinstance(value, (list, dict))]
            times = min(times * _stretch(one), 1e12)
    return times


def _stretch(one: Mapping[str, Any]) -> float:
    """How many times longer a replacement makes what it replaces."""
    content, pattern = one.get("content"), one.get("pattern")
    if one.get("type") != "Replace" or not isinstance(content, str):
        return 1.0
    found = pattern.get("String") if isinstance(pattern, dict) else None
    return max(1.0, len(content) / max(1, len(found) if isinstance(found, str) else 1))


def _entries(model: object) -> Iterator[str]:
    """The tokens of a vocabulary, whichever form it has."""
    vocabulary = model.get("vocab") if isinstance(model, dict) else None
    if isinstance(vocabulary, dict):
        yield from vocabulary
    elif isinstance(vocabulary, list):
        yield from (
            row[0]
            for row in vocabulary
            if isinstance(row, list) and row and isinstance(row[0], str)
        )


def _named(folder: Path) -> str:
    return SETTINGS if (folder / SETTINGS).is_file() else VOCABULARY
