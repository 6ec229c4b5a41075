"""New models with random weights: GPT-2's architecture, which writes, and BERT's, which reads both ways."""

from transformers import (
    BertConfig,
    BertForMaskedLM,
    GPT2Config,
    GPT2LMHeadModel,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from alignment.kinds.pretrain.settings import Dimensions
from alignment.models.loading import vocabulary_of

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
