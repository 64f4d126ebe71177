"""What answering about a picture costs, up to the first answered token.

Two figures, never to be mixed: `ModelShape.paper_macs` counts as the G-Prune paper does, so that its curve can be
compared with; `ModelShape.true_flops` counts what is computed here.
"""

from dataclasses import dataclass
from typing import Any

from gprune_vllm.decoder_shape import DecoderShape


@dataclass(frozen=True, slots=True)
class TowerShape:
    """Shape of a vision transformer of the CLIP or SigLIP kind: full attention and an MLP of two layers.

    Attributes:
        layers: that it has.
        layers_run: that lie before the features LLaVA-NeXT reads.
        patches: patch tokens of a crop.
        tokens: those and the class token, where there is one.
        patch_size: side of a patch in pixels, of three colours each.
    """

    hidden_size: int
    intermediate_size: int
    layers: int
    layers_run: int
    patches: int
    tokens: int
    patch_size: int

    @classmethod
    def of(cls, vision_config: Any, feature_layer: int | list[int]) -> "TowerShape":
        """The shape that an HF vision configuration describes, read at `feature_layer` of its hidden states."""
        patches = (vision_config.image_size // vision_config.patch_size) ** 2
        layers = vision_config.num_hidden_layers
        read = [feature_layer] if isinstance(feature_layer, int) else feature_layer
        return cls(
            hidden_size=vision_config.hidden_size,
            intermediate_size=vision_config.intermediate_size,
            layers=layers,
            layers_run=max(layer if layer >= 0 else layers + 1 + layer for layer in read),
            patches=patches,
            tokens=patches + ("clip" in vision_config.model_type),
            patch_size=vision_config.patch_size,
        )

    def linear_macs(self, layers: int) -> int:
        """Multiply-accumulates of the patch embedding and of the linear layers of `layers` layers for one crop."""
        embedding = self.patches * 3 * self.patch_size**2 * self.hidden_size
        layer = 4 * self.hidden_size**2 + 2 * self.hidden_size * self.intermediate_size
        return embedding + layers * self.tokens * layer

    @property
    def flops(self) -> int:
        """Floating-point operations for one crop, attention counted, up to the layer that is read."""
        attention = 2 * self.layers_run * self.tokens**2 * self.hidden_size
        return 2 * (self.linear_macs(self.layers_run) + attention)


@dataclass(frozen=True, slots=True)
class ModelShape:
    """Shape of a LLaVA-NeXT.

    Attributes:
        projector_macs: multiply-accumulates of the projector for one patch token.
        vocabulary_size: outputs of the language-model head.
    """

    tower: TowerShape
    projector_macs: int
    decoder: DecoderShape
    vocabulary_size: int

    @classmethod
    def of(cls, config: Any) -> "ModelShape":
        """The shape that an HF LLaVA-NeXT configuration describes."""
        layer = config.vision_feature_layer
        features = config.vision_config.hidden_size * (1 if isinstance(layer, int) else len(layer))
        hidden_size = config.text_config.hidden_size
        return cls(
            tower=TowerShape.of(config.vision_config, layer),
            projector_macs=features * hidden_size + hidden_size**2,
            decoder=DecoderShape.of(config.text_config),
            vocabulary_size=config.text_config.vocab_size,
        )

    @property
    def head_macs(self) -> int:
        """Multiply-accumulates of the language-model head for one position."""
        return self.vocabulary_size * self.decoder.hidden_size

    def paper_macs(self, visual: float, other: float, crops: int) -> float:
        """Multiply-accumulates as the paper counts them, who calls them FLOPs: linear in the tokens kept.

        All layers of the tower; no attention scores; the head at every position.

        Args:
            visual: visual tokens kept, all of them taken for projected ones.
            other: other tokens of the prompt.
            crops: crops of the pictures, base crops counted.
        """
        decoder = (visual + other) * (self.decoder.linear_macs + self.head_macs)
        return crops * self.tower.linear_macs(self.tower.layers) + visual * self.projector_macs + decoder

    def true_flops(self, visual: int, other: int, crops: int, newlines: int = 0) -> int:
        """Floating-point operations until the first answered token, two for each multiply-accumulate.

        The layers of the tower that run; causal attention; the head at the last position. Norms, activations and the
        selection of tokens are left out.

        Args:
            visual: visual tokens kept, newlines counted.
            other: other tokens of the prompt.
            crops: crops of the pictures, base crops counted.
            newlines: how many visual tokens are newlines, which are not projected.
        """
        projector = 2 * (visual - newlines) * self.projector_macs
        return crops * self.tower.flops + projector + self.decoder.prefill_flops(visual + other) + 2 * self.head_macs


LLAVA_NEXT_8B = ModelShape(
    tower=TowerShape(1024, 4096, layers=24, layers_run=23, patches=576, tokens=577, patch_size=14),
    projector_macs=1024 * 4096 + 4096 * 4096,
    decoder=DecoderShape(4096, 14336, layers=32, heads=32, kv_heads=8, head_size=128),
    vocabulary_size=128256,
)
"""LLaVA-NeXT-8B, which the paper prunes: CLIP ViT-L/14 at 336 pixels and Llama 3 8B."""
