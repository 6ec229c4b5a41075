"""Model folders that are made to hurt whoever reads them: a table of attacks, each spoiling a good folder.

An attack is named `file/what`; `ATTACKS[name](folder)` spoils a folder that `GOOD` made.
"""

import json
import struct
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

TEMPLATE, TOKENIZER = "chat_template.jinja", "tokenizer.json"
SETTINGS, CONFIG, WEIGHTS = "tokenizer_config.json", "config.json", "model.safetensors"
CHAT = (
    "{% for m in messages %}<u>{{ m['content'] }}<e>{% endfor %}"
    "{% if add_generation_prompt %}<a>{% endif %}"
)
END, PAD = "<e>", "<p>"
Spoil = Callable[[Path], object]


def make(folder: Path) -> Path:
    """A good folder: a tiny Llama with a byte-level tokenizer and a chat template."""
    specials = [PAD, END, "<u>", "<a>"]
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {entry: place for place, entry in enumerate([*specials, *letters])}
    inner = Tokenizer(models.BPE(vocabulary, []))
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=inner,
        eos_token=END,
        pad_token=PAD,
        extra_special_tokens=specials[2:],
        chat_template=CHAT,
    )
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=16, intermediate_size=32, num_hidden_layers=2,
        num_attention_heads=2, max_position_embeddings=512, eos_token_id=1, pad_token_id=0,
        bos_token_id=None, tie_word_embeddings=False,
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(folder)
    return folder


def edit(file: str, change: Callable[[Any], object], folder: Path) -> None:
    """Change the document of a JSON file in place."""
    path = folder / file
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))


def write(file: str, text: str | bytes | Callable[[], bytes], folder: Path) -> None:
    """Put something else in a file's place."""
    if callable(text):
        text = text()
    (folder / file).write_bytes(text.encode() if isinstance(text, str) else text)


def settings(file: str, values: dict[str, Any], folder: Path) -> None:
    """Set some keys of a JSON file."""
    edit(file, lambda document: document.update(values), folder)


def alone(values: dict[str, Any], folder: Path) -> None:
    """Set some keys of the tokenizer's settings, where a chat template of its own is not there."""
    (folder / TEMPLATE).unlink()
    settings(SETTINGS, {"chat_template": CHAT} | values, folder)


def nested(depth: int, opening: str = "[", closing: str = "]") -> str:
    """Something inside of itself."""
    return opening * depth + closing * depth


LOOP = "{% for a in range(99999) %}{% for b in range(99999) %}{% for c in range(99999) %}"
ENDS = "{% endfor %}" * 3
TEMPLATES = {
    "loops": LOOP + ENDS,
    "loops that write": f"{LOOP}{{{{ c }}}}{ENDS}",
    "loop over text": "{% for a in messages[0].content * 9999999 %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
    "power": "{{ 10 ** (10 ** 9) }}",
    "power of power": "{{ 9 ** (9 ** 9) }}",
    "modulo": "{{ (7 ** 9999999) % (3 ** 9999999) }}",
    "shift by power": "{{ 2 ** (2 ** 40) }}",
    "recursion": "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
    "two macros": "{% macro f() %}{{ g() }}{% endmacro %}{% macro g() %}{{ f() }}{% endmacro %}{{ f() }}",
    "recursive loop": "{% for m in messages recursive %}{{ loop(messages) }}{% endfor %}",
    "doubling": "{% set x = namespace(t='x') %}{% for i in range(99) %}{% set x.t = x.t ~ x.t %}{% endfor %}",
    "doubling list": "{% set x = namespace(t=[0]) %}{% for i in range(99) %}{% set x.t = x.t + x.t %}{% endfor %}",
    "repeated text": "{{ 'x' * 10 ** 10 }}",
    "repeated list": "{{ ([0] * 10 ** 10) | length }}",
    "indent": "{{ 'a\nb' | indent(10 ** 10) }}",
    "tojson indent": "{{ messages | tojson(indent=10 ** 10) }}",
    "tojson separators": "{{ messages | tojson(separators=('x' * 10 ** 10, ':')) }}",
    "ljust": "{{ 'x'.ljust(10 ** 11) }}",
    "center": "{{ 'x' | center(10 ** 11) }}",
    "wordwrap": "{{ ('x ' * 10 ** 8) | wordwrap(1) }}",
    "format": "{{ '%9999999999d' | format(1) }}",
    "format method": "{{ '{:>99999999999}'.format(1) }}",
    "replace": "{{ ('a' * 10 ** 6).replace('a', 'b' * 10 ** 6) }}",
    "join": "{{ (['x' * 10 ** 6] * 10 ** 5) | join }}",
    "batch": "{{ range(99999) | batch(10 ** 9, 'x') | list }}",
    "slice": "{{ range(99999) | slice(10 ** 9) | list }}",
    "long output": "{{ 'x' * 20000000 }}",
    "loud exception": "{{ raise_exception('x' * 10 ** 8) }}",
    "large range": "{{ range(10 ** 9) | list }}",
    "include": "{% include '/etc/passwd' %}",
    "import": "{% import 'os' as os %}",
    "from": "{% from 'os' import system %}",
    "extends": "{% extends 'base' %}",
    "deep brackets": "{{ " + nested(9999, "(1 + ", "1)") + " }}",
    "deep lists": "{{ " + nested(9999) + " }}",
    "deep ifs": "{% if 1 %}" * 9999 + "{% endif %}" * 9999,
    "deep nots": "{{ " + "not " * 99999 + "1 }}",
    "unclosed": "{% for m in messages %}",
    "unknown tag": "{% call out %}",
    "unknown filter": "{{ messages | exec }}",
    "not utf-8": b"\xff\xfe\x00{{ messages }}",
    "no text": b"\x00" * 9999 + b"{{",
    "classes": "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "globals": "{{ raise_exception.__globals__[1] }}",
    "attribute filter": "{{ messages | map(attribute='__class__.x') | join | first.x }}",
    "format attributes": "{{ '{0.__class__.__init__.__globals__}'.format(messages) }}",
    "changes": "{{ messages.append(1) }}",
    "zero": "{{ 1 // 0 }}",
    "nothing": "{{ messages.nothing.at.all() }}",
    "large number": "{{ 10 ** 5000 }}",
    "text and number": "{{ 'a' + 1 }}",
    "bad date": "{{ strftime_now(1) }}",
    "underscore": "{% set x = namespace(__class__=1) %}",
    "sum of texts": "{{ messages | sum }}",
    "compare": "{{ messages < 1 }}",
    "unhashable": "{{ {messages: 1} }}",
}


def split(pattern: str, **more: Any) -> dict[str, Any]:
    """A pre-tokenizer that splits by a regular expression."""
    return {
        "type": "Split",
        "pattern": {"Regex": pattern},
        "behavior": "Isolated",
        "invert": False,
        **more,
    }


def replace(pattern: dict[str, str], content: str) -> dict[str, Any]:
    """A normalizer that replaces."""
    return {"type": "Replace", "pattern": pattern, "content": content}


def sequence(kind: str, parts: list[Any]) -> dict[str, Any]:
    """Several of a kind, one after another."""
    return {"type": "Sequence", kind: parts}


def template_of(pieces: list[dict[str, Any]], ids: int = 1) -> dict[str, Any]:
    """A post-processor with these pieces of a single text."""
    token = {"id": END, "ids": [1] * ids, "tokens": [END] * ids}
    return {
        "type": "TemplateProcessing",
        "single": pieces,
        "pair": pieces,
        "special_tokens": {END: token},
    }


TEXT = {"Sequence": {"id": "A", "type_id": 0}}
CLOSE = {"SpecialToken": {"id": END, "type_id": 0}}
DOUBLE = replace({"Regex": "(?=.)"}, "a")
PARTS: dict[str, tuple[str, Any]] = {
    "nested repeats": ("pre_tokenizer", split("(a+)+$")),
    "alternatives": ("pre_tokenizer", split("(a|a|aa)+$")),
    "overlapping": ("pre_tokenizer", split(r"(\w*\w*\w*\w*\w*)*!b")),
    "any text thirty times": ("pre_tokenizer", split("(.*a){30}!b")),
    "look-behind": ("pre_tokenizer", split("(?<=a*)b")),
    "giant repeat": ("pre_tokenizer", split("a{100000}{100000}")),
    "giant repeats in one": ("pre_tokenizer", split("((a{1,999}){1,999}){1,999}$")),
    "broken expression": ("pre_tokenizer", split("(((")),
    "deep expression": ("pre_tokenizer", split(nested(99999, "(", ")"))),
    "back references": ("pre_tokenizer", split(r"(a*)(a*)(a*)\1\2\3!b|(\w+\s?)+\?$")),
    "many slow splits": (
        "pre_tokenizer", sequence("pretokenizers", [split("(?:a*a*a*a*!b)?")] * 99)
    ),
    "deep sequence": (
        "pre_tokenizer", json.loads('{"type":"Sequence","pretokenizers":[' * 90 + "]}" * 90)
    ),
    "unknown type": ("pre_tokenizer", {"type": "Shell", "command": "true"}),
    "no type": ("pre_tokenizer", {"pattern": 1}),
    "long replacement": ("normalizer", replace({"String": "a"}, "b" * 10**7)),
    "doubled": ("normalizer", sequence("normalizers", [replace({"String": "a"}, "aa")] * 60)),
    "doubled by expression": ("normalizer", sequence("normalizers", [replace({"Regex": "."}, "aa")] * 60)),
    "put between letters": ("normalizer", sequence("normalizers", [DOUBLE] * 60)),
    "prepended": ("normalizer", {"type": "Prepend", "prepend": "x" * 10**7}),
    "prepended often": (
        "normalizer", sequence("normalizers", [{"type": "Prepend", "prepend": "x" * 999}] * 999)
    ),
    "slow replacement": ("normalizer", replace({"Regex": "(a+)+$"}, "")),
    "broken charsmap": ("normalizer", {"type": "Precompiled", "precompiled_charsmap": "!!!"}),
    "lying charsmap": ("normalizer", {"type": "Precompiled", "precompiled_charsmap": "/////wAA"}),
    "normalizer of numbers": ("normalizer", 7),
    "text many times": ("post_processor", template_of([TEXT] * 9999)),
    "closed many times": ("post_processor", template_of([TEXT, *[CLOSE] * 9999])),
    "one close of many": ("post_processor", template_of([TEXT, CLOSE], ids=99999)),
    "doubled text": ("post_processor", sequence("processors", [template_of([TEXT, TEXT])] * 60)),
    "unknown token": ("post_processor", template_of([TEXT, {"SpecialToken": {"id": "?", "type_id": 0}}])),
    "decoder that grows": ("decoder", sequence("decoders", [replace({"String": "a"}, "b" * 999)] * 9)),
    "decoder that backtracks": ("decoder", replace({"Regex": "(a|a)*(b|b)*$(?!.)!"}, "")),
    "decoder of no type": ("decoder", {"type": "Nobody"}),
    "added tokens of nothing": ("added_tokens", [{"id": 0}]),
    "added token of a giant place": (
        "added_tokens",
        [{"id": 2**40, "content": "q", "single_word": False, "lstrip": False, "rstrip": False,
          "normalized": False, "special": True}],
    ),
    "padding": ("padding", {"strategy": {"Fixed": 10**10}, "direction": "Right", "pad_to_multiple_of": None,
                            "pad_id": 0, "pad_type_id": 0, "pad_token": PAD}),
    "pad to a multiple": ("padding", {"strategy": "BatchLongest", "direction": "Right",
                                      "pad_to_multiple_of": 10**11, "pad_id": 0, "pad_type_id": 0,
                                      "pad_token": PAD}),
    "truncation of nothing": ("truncation", {"max_length": -1}),
    "no model": ("model", {}),
    "model of nobody": ("model", {"type": "Nobody"}),
    "merges that are not there": ("model", {"type": "BPE", "vocab": {"a": 0}, "merges": ["a b", "ab c"]}),
    "merges of lists": ("model", {"type": "BPE", "vocab": {"a": 0}, "merges": [["a"], ["a", "b", "c"]]}),
    "places below nothing": ("model", {"type": "BPE", "vocab": {"a": -1}, "merges": []}),
    "places of text": ("model", {"type": "BPE", "vocab": {"a": "b"}, "merges": []}),
    "giant place": ("model", {"type": "BPE", "vocab": {"a": 2**40}, "merges": []}),
    "unigram without end": ("model", {"type": "Unigram", "vocab": [["a", float("1e400")]], "unk_id": 0}),
    "unigram of nothing": ("model", {"type": "Unigram", "vocab": [], "unk_id": 5}),
    "long token": ("model", {"type": "BPE", "vocab": {"a" * 10**6: 0, "b": 1}, "merges": []}),
}  # fmt: skip
TOKENIZERS: dict[str, Spoil] = {
    **{what: partial(settings, TOKENIZER, {part: value}) for what, (part, value) in PARTS.items()},
    "giant vocabulary": partial(
        write,
        TOKENIZER,
        lambda: (
            b'{"model":{"type":"BPE","merges":[],"vocab":{'
            + b",".join(b'"t%d":%d' % (n, n) for n in range(6_000_000))
            + b"}}}"
        ),
    ),
    "many small lists": partial(write, TOKENIZER, lambda: b"[" + b"[]," * 60_000_000 + b"[]]"),
    "deep JSON": partial(write, TOKENIZER, nested(999_999)),
    "deep objects": partial(write, TOKENIZER, '{"a":' * 99_999 + "1" + "}" * 99_999),
    "no JSON": partial(write, TOKENIZER, "{"),
    "a list": partial(write, TOKENIZER, "[]"),
    "null": partial(write, TOKENIZER, "null"),
    "not UTF-8": partial(write, TOKENIZER, b'{"model": "\xff\xfe"}'),
    "empty": partial(write, TOKENIZER, ""),
}
OF_SETTINGS: dict[str, dict[str, Any]] = {
    "unknown class": {"tokenizer_class": 7},
    "end of a number": {"eos_token": 5},
    "end of a list": {"eos_token": ["<e>"]},
    "length of text": {"model_max_length": "long"},
    "side": {"padding_side": "up"},
    "template of a number": {"chat_template": 7},
    "template of lists": {"chat_template": [["a", "b"]]},
    "templates without a default": {"chat_template": [{"name": "tool", "template": "x"}]},
    "added tokens of text": {"added_tokens_decoder": {"x": {"content": "y"}}},
    "added tokens of numbers": {"added_tokens_decoder": {"1": 5}},
    "extra tokens of numbers": {"extra_special_tokens": 5},
    "code": {"auto_map": {"AutoTokenizer": ["own.Own", None]}},
}
SETTINGS_FILES: dict[str, Spoil] = {
    **{what: partial(alone, values) for what, values in OF_SETTINGS.items()},
    "no JSON": partial(write, SETTINGS, "{'a': 1}"),
    "deep": partial(write, SETTINGS, '{"a":' * 99_999 + "1" + "}" * 99_999),
    "a list": partial(write, SETTINGS, "[1]"),
    "not UTF-8": partial(write, SETTINGS, b"\xff"),
}
OF_CONFIG: dict[str, dict[str, Any]] = {
    "many layers": {"num_hidden_layers": 10**9},
    "layers below nothing": {"num_hidden_layers": -3},
    "layers of text": {"num_hidden_layers": "two"},
    "half a layer": {"num_hidden_layers": 1.5},
    "no layers": {"num_hidden_layers": None},
    "wide": {"hidden_size": 10**9},
    "width below nothing": {"hidden_size": -16},
    "width of text": {"hidden_size": "16"},
    "width of nothing": {"hidden_size": 0},
    "no heads": {"num_attention_heads": 0},
    "heads below nothing": {"num_attention_heads": -2},
    "heads of a third": {"num_attention_heads": 3},
    "many heads": {"num_attention_heads": 10**9},
    "more key heads than heads": {"num_key_value_heads": 7},
    "large vocabulary": {"vocab_size": 10**12},
    "vocabulary below nothing": {"vocab_size": -1},
    "vocabulary of text": {"vocab_size": "all"},
    "small vocabulary": {"vocab_size": 9},
    "wide inside": {"intermediate_size": 10**12},
    "unknown activation": {"hidden_act": "explode"},
    "activation of a number": {"hidden_act": 5},
    "unknown attention": {"_attn_implementation": "own/kernel"},
    "unknown rope": {"rope_scaling": {"rope_type": "own", "factor": 2.0}},
    "rope of text": {"rope_scaling": "twice"},
    "rope without its numbers": {"rope_scaling": {"rope_type": "yarn"}},
    "rope parameters of text": {"rope_parameters": "twice"},
    "longrope of lists": {
        "rope_scaling": {"rope_type": "longrope", "short_factor": "x", "long_factor": 1}
    },
    "many layer types": {"layer_types": ["full_attention"] * 10**6},
    "unknown layer types": {"layer_types": ["own", "own"]},
    "unknown kind": {"model_type": "own"},
    "kind of a list": {"model_type": ["llama"]},
    "code": {"auto_map": {"AutoModelForCausalLM": "own.Own"}},
    "quantised": {"quantization_config": {"quant_method": "own"}},
    "quantised by a number": {"quantization_config": 8},
    "pad of a giant place": {"pad_token_id": 10**9},
    "unknown dtype": {"dtype": "float99"},
    "norm of text": {"rms_norm_eps": "small"},
    "mixture": {"model_type": "mixtral", "num_local_experts": 10**9},
    "deep parts": {"text_config": json.loads('{"text_config":' * 90 + "{}" + "}" * 90)},
    "large masks": {
        "model_type": "gpt2",
        "n_positions": 10**6,
        "n_layer": 2,
        "n_embd": 16,
        "n_head": 2,
    },
    "wide heads": {"head_dim": 10**9},
}
CONFIGS: dict[str, Spoil] = {
    **{what: partial(settings, CONFIG, values) for what, values in OF_CONFIG.items()},
    "no JSON": partial(write, CONFIG, "{"),
    "a list": partial(write, CONFIG, "[]"),
    "deep": partial(write, CONFIG, '{"a":' * 99_999 + "1" + "}" * 99_999),
    "many small lists": partial(write, CONFIG, lambda: b'{"a":[' + b"[]," * 5_000_000 + b"[]]}"),
    "large file": partial(write, CONFIG, lambda: b'{"a":[' + b"[]," * 60_000_000 + b"[]]}"),
    "long number": partial(
        write, CONFIG, '{"model_type":"llama","vocab_size":' + "9" * 99999 + "}"
    ),
    "not a number": partial(settings, CONFIG, {"hidden_size": float("nan")}),
    "endless": partial(settings, CONFIG, {"vocab_size": float("inf")}),
    "generation of text": partial(write, "generation_config.json", '{"max_new_tokens": "all"}'),
    "generation of a list": partial(write, "generation_config.json", "[]"),
    "generation deep": partial(write, "generation_config.json", nested(99_999)),
}


def header(change: Callable[[dict[str, Any]], object], folder: Path) -> None:
    """Change what the header of the weights says, leaving the numbers."""
    path = folder / WEIGHTS
    whole = path.read_bytes()
    (length,) = struct.unpack("<Q", whole[:8])
    document = json.loads(whole[8 : 8 + length])
    change(document)
    text = json.dumps(document).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + whole[8 + length :])


def first(document: dict[str, Any]) -> dict[str, Any]:
    """The row of the first tensor."""
    return document[min(name for name in document if name != "__metadata__")]


def raw(text: bytes, length: int | None = None, rest: bytes = b"") -> bytes:
    """A file with this header, its length told or lied about."""
    return struct.pack("<Q", len(text) if length is None else length) + text + rest


ROW = b'"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}'
HEADERS: dict[str, Spoil] = {
    "giant length": partial(write, WEIGHTS, raw(b"{}", 2**63)),
    "length of all bytes": partial(write, WEIGHTS, raw(b"{}", 2**64 - 1)),
    "length beyond the file": partial(write, WEIGHTS, raw(b"{}", 10**6)),
    "no header": partial(write, WEIGHTS, b""),
    "four bytes": partial(write, WEIGHTS, b"\x01\x00\x00\x00"),
    "no JSON": partial(write, WEIGHTS, raw(b"{{{{")),
    "a list": partial(write, WEIGHTS, raw(b"[1]")),
    "deep": partial(write, WEIGHTS, raw(nested(999_999).encode())),
    "many small lists": partial(
        write, WEIGHTS, lambda: raw(b'{"a":[' + b"[]," * 30_000_000 + b"[]]}")
    ),
    "many tensors": partial(
        write,
        WEIGHTS,
        lambda: raw(
            b"{%s}"
            % b",".join(
                b'"w%d":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}' % n
                for n in range(1_500_000)
            )
        ),
    ),
    "not UTF-8": partial(write, WEIGHTS, raw(b'{"\xff\xfe":1}')),
    "twice the same": partial(write, WEIGHTS, raw(b"{" + ROW + b"," + ROW + b"}", rest=b"\0" * 4)),
    "negative place": partial(header, lambda h: first(h).update(data_offsets=[-4, 0])),
    "backwards": partial(header, lambda h: first(h).update(data_offsets=[9, 1])),
    "overlap": partial(header, lambda h: h.update({"more": dict(first(h))})),
    "gap": partial(header, lambda h: h.pop(min(h.keys() - {"__metadata__"}))),
    "unknown dtype": partial(header, lambda h: first(h).update(dtype="F99")),
    "dtype of a number": partial(header, lambda h: first(h).update(dtype=32)),
    "another dtype": partial(header, lambda h: first(h).update(dtype="F16")),
    "negative shape": partial(header, lambda h: first(h).update(shape=[-1, -4])),
    "shape of text": partial(header, lambda h: first(h).update(shape=["a"])),
    "giant shape": partial(header, lambda h: first(h).update(shape=[2**40, 2**40])),
    "many dimensions": partial(header, lambda h: first(h).update(shape=[1] * 99_999)),
    "no shape": partial(header, lambda h: first(h).pop("shape")),
    "three places": partial(header, lambda h: first(h).update(data_offsets=[0, 1, 2])),
    "a row of text": partial(header, lambda h: h.update({"w": "text"})),
    "cut short": lambda folder: (folder / WEIGHTS).write_bytes(
        (folder / WEIGHTS).read_bytes()[:-100]
    ),
    "too long": lambda folder: (folder / WEIGHTS).write_bytes(
        (folder / WEIGHTS).read_bytes() + b"\0" * 100
    ),
    "other names": partial(
        header,
        lambda h: h.update({f"x.{name}": h.pop(name) for name in [*h] if name != "__metadata__"}),
    ),
    "other shapes": partial(
        header,
        lambda h: [
            row.update(shape=[*row["shape"][::-1], 1]) for row in h.values() if "shape" in row
        ],
    ),
}


ATTACKS: dict[str, Spoil] = {
    **{f"{TEMPLATE}/{what}": partial(write, TEMPLATE, text) for what, text in TEMPLATES.items()},
    **{f"{TOKENIZER}/{what}": spoil for what, spoil in TOKENIZERS.items()},
    **{f"{SETTINGS}/{what}": spoil for what, spoil in SETTINGS_FILES.items()},
    **{f"{CONFIG}/{what}": spoil for what, spoil in CONFIGS.items()},
    **{f"{WEIGHTS}/{what}": spoil for what, spoil in HEADERS.items()},
}
