"""What tiny checkpoints of several families share: the language model, its tokenizer, and random weights."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from transformers import GenerationConfig, PreTrainedTokenizerFast

from evaluation.demo.checkpoint import MAX_POSITION_EMBEDDINGS, printable, random_weight
from evaluation.demo.tokenizer import BEGIN, END, PAD, SPECIAL_TOKENS, build_tokenizer

TEXT = {
    "hidden_size": 128,
    "intermediate_size": 256,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 32,
    "max_position_embeddings": MAX_POSITION_EMBEDDINGS,
    "tie_word_embeddings": False,
    "pad_token_id": PAD,
    "bos_token_id": BEGIN,
    "eos_token_id": END,
    "sliding_window": None,
}


def tokens_with(*special: str) -> Tokenizer:
    """The demo models' tokenizer with more special tokens."""
    tokenizer = build_tokenizer()
    tokenizer.add_special_tokens(list(special))
    return tokenizer


def wrapped(tokenizer: Tokenizer, named: Mapping[str, str] | None = None) -> PreTrainedTokenizerFast:
    """Wrap a tokenizer as Transformers wants it. Some processors ask it for special tokens by their names."""
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=SPECIAL_TOKENS[PAD],
        bos_token=SPECIAL_TOKENS[BEGIN],
        eos_token=SPECIAL_TOKENS[END],
        extra_special_tokens=dict(named or {}),
        model_max_length=MAX_POSITION_EMBEDDINGS,
        clean_up_tokenization_spaces=False,
    )


def built(model_class: Any, config: Any, tokenizer: Tokenizer) -> Any:
    """A model whose answers differ from image to image. What is no matrix stays as Transformers draws it."""
    torch.manual_seed(0)
    model = model_class(config)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.ndim == 2 and name.endswith("weight"):
                weight.copy_(random_weight(name, weight.shape, generator))
        model.get_output_embeddings().weight[~printable(tokenizer)] = 0.0
    return model


def save(folder: Path, model: Any, processor: Any) -> Path:
    """Write a checkpoint into a folder, made where missing, and return the folder."""
    model.save_pretrained(folder)
    GenerationConfig(pad_token_id=PAD, bos_token_id=BEGIN, eos_token_id=END).save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder
