"""Tokenizers of every family and chat templates of the field's, to be tried with each other."""

from collections.abc import Callable, Mapping

from tokenizers import (
    AddedToken,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)
from transformers import PreTrainedTokenizerFast

SPECIAL = [
    "<unk>", "<s>", "</s>", "<pad>", "<|im_start|>", "<|im_end|>", "<|start_header_id|>", "<|end_header_id|>",
    "<|eot_id|>", "<start_of_turn>", "<end_of_turn>", "<|user|>", "<|assistant|>", "<|system|>", "<|end|>",
    "[CLS]", "[SEP]",
]  # fmt: skip
SPOKEN = ["<think>", "</think>"]
ADDED = [*SPOKEN, "<tool>"]
LETTERS = [chr(code) for code in range(32, 127)] + ["\n", "é", "日", "本", "\uff1c", "\uff1e"]
CORPUS = [
    "user\nHello there, how are you?", "assistant\nI am well. Thank you!", "system\nBe good.",
    "[INST] what is 2 + 2? [/INST] It is 4.", "User: name a day\nAssistant: Monday", "\n\nyes\n\n no", "  two  gaps",
    "日本 é <x> im_end start end think tool s", "model\nuser: Assistant: system:",
]  # fmt: skip


def byte_level(*, prefix: bool = False, cut: bool = True) -> Tokenizer:
    """As GPT-2's; without a cut into words as some merge across any border."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=prefix, use_regex=cut)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=460, special_tokens=SPECIAL, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(CORPUS * 4, trainer)
    return tokenizer


def metaspace(scheme: str, *, kind: str = "bpe", split: bool = False) -> Tokenizer:
    """As SentencePiece's, by merges or by pieces, with a first gap or without."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>") if kind == "bpe" else models.Unigram())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme=scheme, split=split)
    tokenizer.decoder = decoders.Metaspace(prepend_scheme=scheme, split=split)
    common = {
        "special_tokens": SPECIAL,
        "initial_alphabet": [*LETTERS, "▁"],
        "show_progress": False,
    }
    trainer = (
        trainers.BpeTrainer(vocab_size=330, **common)
        if kind == "bpe"
        else trainers.UnigramTrainer(vocab_size=180, unk_token="<unk>", **common)
    )
    tokenizer.train_from_iterator(CORPUS * 4, trainer)
    return tokenizer


def legacy() -> Tokenizer:
    """As Llama's first: gaps are written by normalisers, and one is put before every text."""
    tokenizer = metaspace("never")
    tokenizer.pre_tokenizer = None
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
    )
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    return tokenizer


def without_cut() -> Tokenizer:
    """Merges over the text as it is."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
    tokenizer.decoder = decoders.Fuse()
    trainer = trainers.BpeTrainer(
        vocab_size=330, special_tokens=SPECIAL, initial_alphabet=LETTERS, show_progress=False
    )
    tokenizer.train_from_iterator(CORPUS * 4, trainer)
    return tokenizer


def words(model: type = models.WordLevel) -> Tokenizer:
    """Words of a list, all others unknown."""
    every = sorted({word for text in CORPUS for word in text.split()})
    known = {word: place for place, word in enumerate([*SPECIAL, *every])}
    tokenizer = Tokenizer(model(known, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return tokenizer


def word_pieces() -> Tokenizer:
    """As BERT's, which knows no capitals."""
    letters = [letter for letter in LETTERS if not letter.isspace()]
    known = [*SPECIAL, *letters, *(f"##{letter}" for letter in letters)]
    tokenizer = Tokenizer(
        models.WordPiece({piece: place for place, piece in enumerate(known)}, unk_token="<unk>")
    )
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    return tokenizer


TOKENIZERS: Mapping[str, Callable[[], Tokenizer]] = {
    "byte-level BPE": byte_level,
    "byte-level BPE with a first gap": lambda: byte_level(prefix=True),
    "byte-level BPE across words": lambda: byte_level(cut=False),
    "BPE across words": without_cut,
    "Metaspace first": lambda: metaspace("first"),
    "Metaspace always": lambda: metaspace("always"),
    "Metaspace never": lambda: metaspace("never"),
    "Metaspace first, by words": lambda: metaspace("first", split=True),
    "Unigram": lambda: metaspace("first", kind="unigram"),
    "Unigram always": lambda: metaspace("always", kind="unigram", split=True),
    "Llama's first": legacy,
    "words": words,
    "word pieces": word_pieces,
}
LOSSY = {"words", "word pieces"}  # what they decode is not always what they read
ENDS = {"": "$A", "end": "$A </s>", "begin": "<s> $A", "both": "[CLS] $A [SEP]"}
TEMPLATES = {
    "ChatML": "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}",
    "Llama 2": "{{ bos_token }}{% for m in messages %}{% if m['role'] == 'assistant' %} {{ m['content'].strip() }} "
    "{{ eos_token }}{% else %}[INST] {{ m['content'].strip() }} [/INST]{% endif %}{% endfor %}",
    "Mistral": "{{ bos_token }}{% for m in messages %}{% if m['role'] == 'assistant' %}{{ m['content'] }}"
    "{{ eos_token }}{% else %}[INST]{{ m['content'] }}[/INST]{% endif %}{% endfor %}",
    "Llama 3": "{{ bos_token }}{% for m in messages %}<|start_header_id|>{{ m['role'] }}<|end_header_id|>\n\n"
    "{{ m['content'] | trim }}<|eot_id|>{% endfor %}"
    "{% if add_generation_prompt %}<|start_header_id|>assistant<|end_header_id|>\n\n{% endif %}",
    "Gemma": "{{ bos_token }}{% for m in messages %}<start_of_turn>"
    "{{ 'model' if m['role'] == 'assistant' else m['role'] }}\n{{ m['content'] | trim }}<end_of_turn>\n{% endfor %}"
    "{% if add_generation_prompt %}<start_of_turn>model\n{% endif %}",
    "Phi": "{% for m in messages %}{{ '<|' + m['role'] + '|>\n' + m['content'] + '<|end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% else %}{{ eos_token }}{% endif %}",
    "Zephyr": "{% for m in messages %}<|{{ m['role'] }}|>\n{{ m['content'] + eos_token }}\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>\n{% endif %}",
    "opens a thought": "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n<think>\n{% endif %}",
    "drops thoughts": "{% for m in messages %}{% set said = m['content'] %}{% if m['role'] == 'assistant' %}"
    "{% set said = said.split('</think>')[-1].lstrip() %}{% endif %}"
    "<|im_start|>{{ m['role'] }}\n{{ said }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n<think>\n{% endif %}",
    "writes thoughts": "{% for m in messages %}{% set said = m['content'] %}{% set thought = '' %}"
    "{% if m['role'] == 'assistant' %}{% if '</think>' in said %}"
    "{% set thought = said.split('</think>')[0].rstrip('\n').split('<think>')[-1].lstrip('\n') %}"
    "{% set said = said.split('</think>')[-1].lstrip('\n') %}{% endif %}"
    "<|im_start|>assistant\n<think>\n{{ thought }}\n</think>\n\n{{ said }}<|im_end|>\n"
    "{% else %}<|im_start|>{{ m['role'] }}\n{{ said }}<|im_end|>\n{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}",
    "roles alone": "{% for m in messages %}<|{{ m['role'] }}|>{{ m['content'] }}"
    "{% if m['role'] == 'assistant' %}<|end|>{% endif %}{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}",
    "no generation prompt": "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n"
    "{% endfor %}",
    "in words": "{% for m in messages %}### {{ m['role'] }}:\n{{ m['content'] }}\n\n{% endfor %}"
    "{% if add_generation_prompt %}### assistant:\n{% endif %}",
    "closes in words": "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }} END.\n{% endfor %}"
    "{% if add_generation_prompt %}assistant:{% endif %}",
    "the last turn alone": "{{ messages[-1]['content'] }}",
    "none": None,
}  # fmt: skip


def tokenizer_of(name: str, template: str = "none", around: str = "") -> PreTrainedTokenizerFast:
    """One of the tokenizers, with this template and what it puts around a text."""
    tokenizer = TOKENIZERS[name]()
    tokenizer.add_special_tokens(SPECIAL)
    tokenizer.add_tokens([AddedToken(token, normalized=False) for token in ADDED])
    if ENDS[around] != "$A":
        marks = [(mark, tokenizer.token_to_id(mark)) for mark in ("<s>", "</s>", "[CLS]", "[SEP]")]
        tokenizer.post_processor = processors.TemplateProcessing(
            single=ENDS[around], pair="$A $B", special_tokens=marks
        )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<s>",
        eos_token="</s>",
        unk_token="<unk>",
        pad_token="<pad>",
        clean_up_tokenization_spaces=False,
        chat_template=TEMPLATES[template],
    )
