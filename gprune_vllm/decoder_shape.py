"""What a prompt costs in the language model: computation and cache."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class DecoderShape:
    """Shape of a Llama-like decoder: grouped-query attention and a gated MLP."""

    hidden_size: int
    intermediate_size: int
    layers: int
    heads: int
    kv_heads: int
    head_size: int

    @classmethod
    def of(cls, text_config: Any) -> "DecoderShape":
        """Return the shape that an HF text configuration describes.

        Raises:
            ValueError: the decoder is a mixture of experts or has linear attention.
        """
        if not is_llama_like(text_config):
            raise ValueError(f"{text_config.model_type} has a decoder of another shape than Llama's.")
        heads = text_config.num_attention_heads
        return cls(
            hidden_size=text_config.hidden_size,
            intermediate_size=text_config.intermediate_size,
            layers=text_config.num_hidden_layers,
            heads=heads,
            kv_heads=getattr(text_config, "num_key_value_heads", None) or heads,
            head_size=getattr(text_config, "head_dim", None) or text_config.hidden_size // heads,
        )

    @property
    def linear_macs(self) -> int:
        """Multiply-accumulates of all linear layers for one token, the language-model head left out."""
        attention = 2 * self.hidden_size * self.head_size * (self.heads + self.kv_heads)
        return self.layers * (attention + 3 * self.hidden_size * self.intermediate_size)

    def prefill_flops(self, num_tokens: int) -> int:
        """Floating-point operations to prefill a prompt: twice its multiply-accumulates, with causal attention.

        The head is left out: it runs for the last token only, whatever the prompt's length.
        """
        pairs = num_tokens * (num_tokens + 1) // 2
        attention = 2 * self.layers * self.heads * self.head_size * pairs
        return 2 * (num_tokens * self.linear_macs + attention)

    def kv_cache_bytes(self, num_tokens: int, element_size: int) -> int:
        """Bytes of keys and values that `num_tokens` tokens hold in the cache."""
        return 2 * num_tokens * self.layers * self.kv_heads * self.head_size * element_size


def is_llama_like(text_config: Any) -> bool:
    """Whether all layers of a decoder have attention over all tokens and one MLP."""
    experts = any(getattr(text_config, name, None) for name in ("num_experts", "num_local_experts", "n_routed_experts"))
    return not experts and "linear_attention" not in (getattr(text_config, "layer_types", None) or ())
