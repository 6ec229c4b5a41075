"""New models with random weights: GPT-2's architecture, which writes, BERT's, which reads both ways, and T5's and BART's."""

from collections.abc import Callable, Mapping
from typing import Any

from transformers import (
    BartConfig,
    BartForConditionalGeneration,
    BertConfig,
    BertForMaskedLM,
    GPT2Config,
    GPT2LMHeadModel,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    T5Config,
    T5ForConditionalGeneration,
)

from alignment.kinds.pretrain.settings import Dimensions, FamilyName, ObjectiveName, PretrainConfig
from alignment.models.loading import vocabulary_of
from alignment.pretraining.vocabularies import end_of

Make = Callable[[Dimensions, int, PreTrainedTokenizerBase], PreTrainedModel]

LARGEST_STD = 0.05  # with GPT-2's 0.02 a narrow model finds its prompt late


def initial_std(width: int) -> float:
    """Standard deviation of a new model's matrices: as of a linear map that keeps variance, in part."""
    return float(min(LARGEST_STD, (0.4 / width) ** 0.5))


def new_causal(
    size: Dimensions, context: int, tokenizer: PreTrainedTokenizerBase
) -> GPT2LMHeadModel:
    """A causal model with tied embeddings and no dropout."""
    config = GPT2Config(
        vocab_size=vocabulary_of(tokenizer),
        n_positions=context,
        n_embd=size.width,
        n_layer=size.layers,
        n_head=size.heads,
        activation_function="gelu_pytorch_tanh",  # GPT-2's own, in one fused operation
        initializer_range=initial_std(size.width),
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
        bos_token_id=tokenizer.eos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return GPT2LMHeadModel(config)


def new_masked(
    size: Dimensions, context: int, tokenizer: PreTrainedTokenizerBase
) -> PreTrainedModel:
    """A masked model with tied embeddings and no dropout."""
    config = BertConfig(
        vocab_size=vocabulary_of(tokenizer),
        max_position_embeddings=context,
        hidden_size=size.width,
        num_hidden_layers=size.layers,
        num_attention_heads=size.heads,
        intermediate_size=4 * size.width,
        initializer_range=initial_std(size.width),
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        type_vocab_size=1,
        pad_token_id=tokenizer.pad_token_id,
    )
    return BertForMaskedLM(config)


def new_t5(size: Dimensions, context: int, tokenizer: PreTrainedTokenizerBase) -> PreTrainedModel:
    """An encoder-decoder of as many layers on either side, with relative positions and no dropout.

    Its tokenizer says how long texts are, as its positions have no limit.
    """
    start: Mapping[str, Any] = {"decoder_start_token_id": start_of(tokenizer)}  # untyped there
    config = T5Config(
        vocab_size=vocabulary_of(tokenizer),
        d_model=size.width,
        d_kv=size.width // size.heads,
        d_ff=4 * size.width,
        num_layers=size.layers,
        num_heads=size.heads,
        dropout_rate=0.0,
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=end_of(tokenizer),
        **start,
    )
    tokenizer.model_max_length = context
    return T5ForConditionalGeneration(config)


def new_bart(size: Dimensions, context: int, tokenizer: PreTrainedTokenizerBase) -> PreTrainedModel:
    """An encoder-decoder of as many layers on either side, with learned positions and no dropout."""
    config = BartConfig(
        vocab_size=vocabulary_of(tokenizer),
        max_position_embeddings=context,
        d_model=size.width,
        encoder_layers=size.layers,
        decoder_layers=size.layers,
        encoder_attention_heads=size.heads,
        decoder_attention_heads=size.heads,
        encoder_ffn_dim=4 * size.width,
        decoder_ffn_dim=4 * size.width,
        init_std=initial_std(size.width),
        dropout=0.0,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=None,
        eos_token_id=end_of(tokenizer),
        decoder_start_token_id=end_of(tokenizer),
        forced_eos_token_id=None,
    )
    return BartForConditionalGeneration(config)


def start_of(tokenizer: PreTrainedTokenizerBase) -> int:
    """What a T5's answers begin with: the padding, or the end of a tokenizer without."""
    found = tokenizer.pad_token_id
    return end_of(tokenizer) if found is None else int(found)


def new_model(config: PretrainConfig, tokenizer: PreTrainedTokenizerBase) -> PreTrainedModel:
    """The model of the settings, which learns by their objective."""
    families: Mapping[FamilyName, Make] = {"t5": new_t5, "bart": new_bart}
    makers: Mapping[ObjectiveName, Make] = {
        "mlm": new_masked,
        "span_corruption": families[config.family],
    }
    return makers.get(config.objective, new_causal)(config.dimensions, config.context, tokenizer)
