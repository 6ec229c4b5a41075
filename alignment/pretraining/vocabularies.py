"""Tokenizers of models that are trained on texts: made from a corpus, or taken and fitted to the objective."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import takewhile
from typing import Any

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from tokenizers.processors import TemplateProcessing
from transformers import PreTrainedModel, PreTrainedTokenizerBase, PreTrainedTokenizerFast

from alignment.kinds.pretrain.settings import ObjectiveName
from alignment.models.control_tokens import controls
from alignment.models.conversations import text_ids
from alignment.pretraining import spans
from alignment.pretraining.infilling import NAMES, Marks
from alignment.pretraining.spans import marks_for
from alignment.seam.errors import ConfigError
from alignment.seam.words import _

PAD, END, MASK = "<|pad|>", "<|end|>", "<|mask|>"
LONGEST_TOKEN = 64  # characters: nothing is learned of a token that is a line of hyphens


def trained_bpe(texts: Iterable[str], vocabulary: int, marks: Sequence[str]) -> Tokenizer:
    """A byte-level BPE tokenizer of so many entries, the marks first; every text can be read and written back."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=list(marks),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        max_token_length=LONGEST_TOKEN,
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def marks_of(objective: ObjectiveName, context: int) -> list[str]:
    """The tokens that an objective needs for texts of a context, beside text, padding and the end."""
    marks: Mapping[ObjectiveName, list[str]] = {
        "mlm": [MASK],
        "infilling": list(NAMES),
        "span_corruption": [spans.NAME.format(number) for number in range(marks_for(context))],
    }
    return marks.get(objective, [])


def tokenizer_for(
    texts: Iterable[str], vocabulary: int, objective: ObjectiveName, context: int
) -> PreTrainedTokenizerFast:
    """A tokenizer trained on the texts for a new model of this context and objective."""
    marks = marks_of(objective, context)
    masked = {"mask_token": MASK, "cls_token": END, "sep_token": END} if objective == "mlm" else {}
    made = trained_bpe(texts, vocabulary, [PAD, END, *marks])
    if objective == "span_corruption":  # as in training, an encoder's texts have an end
        end = [(END, made.token_to_id(END))]
        made.post_processor = TemplateProcessing(single=f"$A {END}", special_tokens=end)
    return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]  # transformers has no types for it
        tokenizer_object=made,
        eos_token=END,
        pad_token=PAD,
        extra_special_tokens=[] if objective == "mlm" else marks,
        model_max_length=context,
        clean_up_tokenization_spaces=False,
        **masked,
    )


def fit_tokenizer(
    tokenizer: PreTrainedTokenizerBase, objective: ObjectiveName, context: int
) -> None:
    """Let a taken tokenizer know what the objective needs; raises ConfigError where it has no end of text.

    What marks spans in it, it keeps.
    """
    end_of(tokenizer)
    if objective == "mlm" and tokenizer.mask_token_id is None:
        tokenizer.add_special_tokens({"mask_token": MASK})
    if objective == "span_corruption" and len(span_marks(tokenizer)) > 1:
        return
    if objective != "mlm":
        known = tokenizer.get_vocab()
        lacking = [name for name in marks_of(objective, context) if name not in known]
        tokenizer.add_tokens(lacking, special_tokens=True)


def grow_embeddings(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> None:
    """Give a model an embedding for every token of its tokenizer."""
    embedding: Any = model.get_input_embeddings()
    if len(tokenizer) > embedding.weight.shape[0]:
        model.resize_token_embeddings(len(tokenizer))


def end_of(tokenizer: PreTrainedTokenizerBase) -> int:
    """The token between documents; raises ConfigError where the tokenizer has none."""
    found = tokenizer.eos_token_id
    found = tokenizer.sep_token_id if found is None else found
    if found is None:
        raise ConfigError(
            _("The tokenizer has no token that ends a text, so documents cannot be told apart.")
        )
    return int(found)


def infilling_marks(tokenizer: PreTrainedTokenizerBase) -> Marks:
    """The three tokens of infilling, which `fit_tokenizer` has seen to."""
    known = tokenizer.get_vocab()
    return Marks(*(known[name] for name in NAMES))


def span_marks(tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """The tokens that stand for spans, in their order."""
    known, names = tokenizer.get_vocab(), map(spans.NAME.format, range(spans.MOST))
    return [known[name] for name in takewhile(known.__contains__, names)]


def read_texts(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str]) -> list[list[int]]:
    """The tokens of texts; what looks like a control token there is text."""
    known = controls(tokenizer)
    found: Any = tokenizer(list(texts), add_special_tokens=False, verbose=False)["input_ids"]
    return [
        list(ids) if known.ids.isdisjoint(ids) else text_ids(tokenizer, text)
        for ids, text in zip(found, texts, strict=True)
    ]
