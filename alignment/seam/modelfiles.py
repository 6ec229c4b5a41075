"""What may come in with somebody's model: checked file by file before any loader sees it.

Torch-free. Weights are safetensors only, since anything else is unpickled; no file may name code
(`auto_map` and its like); every refusal names the file. Nothing here follows a link.
"""

import json
import math
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from alignment.seam.errors import DataError
from alignment.seam.words import _

FORM = "form.json"  # says in which form weights are kept, where that is not the plain one
KEPT = (".safetensors", ".json", ".txt", ".model", ".jinja")
OURS = {
    "target.json",
    "receipts.json",
}  # what our runs say of their results; of others nobody knows
PICKLED = (".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".joblib", ".npy", ".npz")
FOREIGN = (".msgpack", ".h5", ".gguf", ".onnx", ".pb", ".tflite", ".keras")
CODE = (".py", ".pyc", ".pyd", ".so", ".dll", ".dylib", ".sh", ".exe", ".ipynb")
NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,119}")
# Values of these keys are imported, or decide whether something is.
CODE_KEYS = {"auto_map", "custom_pipelines", "trust_remote_code"}
KERNEL_KEYS = {"attn_implementation", "_attn_implementation"}  # "owner/name" is fetched and run
WEIGHTS = re.compile(r"(model(-\d+-of-\d+)?|adapter_model)\.safetensors")  # what loaders look for
MOST_FILES = 200
MOST_JSON = 256 << 20  # bytes; a tokenizer of 250,000 entries takes 20 MB
MOST_HEADER = 100 << 20  # bytes, as safetensors itself allows
BITS = {
    "BOOL": 8, "U8": 8, "I8": 8, "F8_E4M3": 8, "F8_E5M2": 8, "F8_E8M0": 8, "U16": 16, "I16": 16,
    "F16": 16, "BF16": 16, "U32": 32, "I32": 32, "F32": 32, "U64": 64, "I64": 64, "F64": 64,
}  # fmt: skip


class Tensors(NamedTuple):
    """What the headers of all safetensors files say."""

    names: frozenset[str]
    elements: int
    dtypes: frozenset[str]
    of_weights: frozenset[str]  # dtypes but for masks and counts, which are no weights


def wanted(name: str) -> bool:
    """Whether a file of this name belongs to a model; raises DataError for one that may run code."""
    suffix = Path(name).suffix.lower()
    if suffix in PICKLED:
        raise DataError(
            _(
                "{name} holds pickled weights, which can run code. Save the model with "
                "safe_serialization=True and leave this file out."
            ).format(name=name)
        )
    if suffix in FOREIGN:
        raise DataError(
            _("{name} is not safetensors. Leave this file out, or convert it first.").format(
                name=name
            )
        )
    if suffix in CODE:
        raise DataError(
            _("{name} is code. Models that need code of their own are not run here.").format(
                name=name
            )
        )
    if suffix == ".safetensors":  # others of a folder say the same in another layout
        return WEIGHTS.fullmatch(name) is not None
    return suffix in KEPT and not name.startswith(".") and name not in OURS


def safe_name(name: str) -> str:
    """The name itself; raises DataError where it could mean another place or another file."""
    if not NAME.fullmatch(name):
        raise DataError(
            _("“{name}” is not a file name that can be stored; rename it.").format(
                name=printable(name)
            )
        )
    return name


def printable(name: str) -> str:
    """A foreign name as it may be shown: short, and without control characters."""
    return "".join(c if c.isprintable() else "�" for c in name[:120])


def weights_of(names: Iterable[str]) -> list[str]:
    """The weight files among these names."""
    return sorted(name for name in names if WEIGHTS.fullmatch(name))


def check_folder(folder: Path) -> Tensors:
    """Look at every file of a flat folder; raises DataError naming the first that is not fine."""
    files = sorted(folder.iterdir())
    if len(files) > MOST_FILES:
        raise DataError(
            _("There are {n} files; a model has at most {most_files}.").format(
                n=len(files), most_files=MOST_FILES
            )
        )
    for path in files:
        if path.is_symlink() or not path.is_file():
            raise DataError(_("{name} is not a plain file.").format(name=printable(path.name)))
        if not wanted(safe_name(path.name)):
            raise DataError(_("{name} is no file of a model; leave it out.").format(name=path.name))
        if path.suffix == ".json":
            check_json(path)
    for index in folder.glob("*.index.json"):
        shards_of(index)
    return tensors_of([folder / name for name in weights_of(path.name for path in files)])


def check_json(path: Path) -> None:
    """Refuse what is not JSON, or says that code is to be loaded."""
    document = read_json(path)
    for key, value in _entries(document):
        named = not isinstance(value, int) or isinstance(value, bool)  # a token's number is neither
        if key in CODE_KEYS and named and value:
            raise DataError(
                _(
                    "{name} asks for code of its own (“{key}”). Use a version of the model that the "
                    "library knows without it."
                ).format(name=path.name, key=key)
            )
        if key in KERNEL_KEYS and isinstance(value, str) and "/" in value:
            raise DataError(
                _("{name} asks for a foreign kernel (“{value}”).").format(
                    name=path.name, value=printable(value)
                )
            )


def read_json(path: Path) -> Any:  # noqa: ANN401 - JSON is anything
    """A JSON file of a bearable size; raises DataError naming the file."""
    if path.stat().st_size > MOST_JSON:
        raise DataError(
            _("{name} is larger than {most_json} MiB.").format(
                name=path.name, most_json=MOST_JSON >> 20
            )
        )
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise DataError(
            _("{name} is not JSON: {error}").format(name=path.name, error=error)
        ) from error


def read_object(path: Path) -> dict[str, Any]:
    """A JSON file that holds an object; raises DataError where it is missing or another thing."""
    if not path.is_file():
        raise DataError(_("There is no {name}.").format(name=path.name))
    document = read_json(path)
    if not isinstance(document, dict):
        raise DataError(_("{name} must hold a JSON object.").format(name=path.name))
    return document


def tensors_of(files: list[Path]) -> Tensors:
    """The tensors of several safetensors files together; a name may come once."""
    names: set[str] = set()
    elements, dtypes, of_weights = 0, set(), set()
    for path in files:
        for name, dtype, shape in header_of(path):
            if name in names:
                raise DataError(
                    _("{name} repeats the tensor “{tensor}”.").format(
                        name=path.name, tensor=printable(name)
                    )
                )
            names.add(name)
            elements += math.prod(shape)
            dtypes.add(dtype)
            if name.endswith("weight"):
                of_weights.add(dtype)
    return Tensors(frozenset(names), elements, frozenset(dtypes), frozenset(of_weights))


def header_of(path: Path) -> list[tuple[str, str, tuple[int, ...]]]:
    """Name, dtype and shape of each tensor; raises DataError where header and file disagree.

    The format: 8 bytes little-endian length, a JSON header, then the data without a gap.
    """
    size = path.stat().st_size
    with path.open("rb") as source:
        length = int.from_bytes(source.read(8), "little")
        if size < 8 or length > min(size - 8, MOST_HEADER):
            raise DataError(
                _("{name} is cut short or is not a safetensors file.").format(name=path.name)
            )
        text = source.read(length)
    try:
        header = json.loads(text)
        tensors = {name: row for name, row in header.items() if name != "__metadata__"}
        rows = [_tensor(name, row) for name, row in tensors.items()]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise DataError(
            _("{name} has a damaged header: {error}").format(name=path.name, error=error)
        ) from error
    _check_layout(path, [row[3] for row in rows], size - 8 - length)
    return [row[:3] for row in rows]


def _tensor(name: str, row: Any) -> tuple[str, str, tuple[int, ...], tuple[int, int]]:  # noqa: ANN401
    shape = tuple(row["shape"])
    start, end = row["data_offsets"]
    if not all(type(number) is int and number >= 0 for number in (*shape, start, end)):
        raise ValueError(f"“{printable(name)}” has a shape or place that is no number")
    if (end - start) * 8 != math.prod(shape) * BITS[row["dtype"]]:
        raise ValueError(f"“{printable(name)}” does not take the bytes that its shape needs")
    return name, str(row["dtype"]), shape, (start, end)


def _check_layout(path: Path, places: list[tuple[int, int]], size: int) -> None:
    reached = 0
    for start, end in sorted(places):
        if start != reached:
            raise DataError(_("{name} has a header with gaps or overlaps.").format(name=path.name))
        reached = end
    if reached != size:
        raise DataError(
            _(
                "{name} should hold {reached:,} bytes of weights and holds {size:,}; it is cut "
                "short, or its header lies."
            ).format(name=path.name, reached=reached, size=size)
        )


def shards_of(index: Path) -> list[str]:
    """The files that an index names; raises DataError where one is not beside it."""
    shards = read_object(index).get("weight_map", {})
    if not isinstance(shards, dict):
        raise DataError(_("{name} has no weight_map.").format(name=index.name))
    names = sorted(set(map(str, shards.values())))
    for shard in names:
        if not NAME.fullmatch(shard) or not (index.parent / shard).is_file():
            raise DataError(
                _("{name} names “{shard}”, which is not here.").format(
                    name=index.name, shard=printable(shard)
                )
            )
    return names


def _entries(document: object) -> Iterator[tuple[str, object]]:
    """Every key with its value, at any depth; a loop, since foreign JSON may be deep."""
    left = [document]
    while left:
        part = left.pop()
        if isinstance(part, dict):
            yield from part.items()
            left += part.values()
        elif isinstance(part, list):
            left += part
