"""Text that stands for an image in a model's prompts, which clients must not write themselves."""

import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Self

from vllm.exceptions import VLLMValidationError

from gprune_server.guard.texts import strings

TEXT_TOKENS = re.compile(r"(bos|eos|pad|sep|unk|cls|mask|decoder_start|prefix|suffix|middle)_token")
"""Names of tokens that stand for no media."""
ITEM_TOKENS = re.compile(r"(image|video|audio)_token_(id|index)")
"""Names of tokens that are repeated once for each embedding."""
IDS = ("prompt", "tokens", "token_ids", "prompt_token_ids")
"""Fields with token ids."""


@dataclass(frozen=True, slots=True)
class Placeholders:
    """Tokens of a model that stand for media or surround them.

    vLLM finds an image's place in a prompt by its placeholder. The same text from a client would take the place, and
    each image would move to the place of the next one.

    Attributes:
        texts: the tokens as text.
        ids: their ids, as far as the vocabulary has them.
        items: the ids among them that are repeated once for each embedding.
    """

    texts: frozenset[str]
    ids: frozenset[int]
    items: frozenset[int]

    @classmethod
    def of(cls, config: Any, processor: Any, tokenizer: Any, model: Any) -> Self:
        """Return the placeholders that a model's HF config and HF processor name, and what vLLM's class writes.

        Args:
            config: HF config of the model.
            processor: HF processor of the model.
            tokenizer: HF tokenizer of the model.
            model: vLLM's class of the model, `SupportsMultiModal`.
        """
        size = len(tokenizer)
        named = {name: token for name, token in config.to_dict().items() if not TEXT_TOKENS.match(name)}
        ids = {name: token for name, token in named.items() if name.endswith(("_token_id", "_token_index"))}
        ids = {name: token for name, token in ids.items() if isinstance(token, int) and 0 <= token < size}
        attributes = {name: token for name, token in vars(processor).items() if not TEXT_TOKENS.match(name)}
        texts = {token for name, token in attributes.items() if name.endswith("_token") and isinstance(token, str)}
        texts.update(tokenizer.convert_ids_to_tokens(sorted(ids.values())))
        texts.update(_written(model))
        vocabulary = tokenizer.get_vocab()
        return cls(
            texts=frozenset(texts),
            ids=frozenset(ids.values()) | {vocabulary[text] for text in texts if text in vocabulary},
            items=frozenset(token for name, token in ids.items() if ITEM_TOKENS.fullmatch(name)),
        )

    def check_body(self, body: dict[str, Any]) -> None:
        """Check that no text of a body, and no list of token ids, contains a placeholder.

        Raises:
            VLLMValidationError: one does; the error names the field of the body.
        """
        for field, value in body.items():
            for _, text in strings(value, field):
                self._check_text(field, text)
            if field in IDS:
                self._check_ids(field, value)

    def check_prompt(self, engine_input: Any, field: str) -> None:
        """Check that all placeholders of a rendered prompt are those of its media.

        Templates can join a placeholder from pieces, such as a role and the text behind it.

        Args:
            engine_input: vLLM's `EngineInput`.
            field: field of the body that has the prompt.

        Raises:
            VLLMValidationError: there are others.
        """
        ids = engine_input.get("prompt_token_ids") or []
        ranges = [each for many in engine_input.get("mm_placeholders", {}).values() for each in many]
        placed = [ids[each.offset : each.offset + each.length] for each in ranges]
        for token in self.items:
            if ids.count(token) > sum(each.count(token) for each in placed):
                raise _refusal(field, f"token {token}")

    def _check_text(self, field: str, text: str) -> None:
        for placeholder in self.texts:
            if placeholder in text:
                raise _refusal(field, placeholder)

    def _check_ids(self, field: str, value: Any) -> None:
        lists: Iterable[Any] = value if isinstance(value, list) and value and isinstance(value[0], list) else [value]
        for ids in lists:
            for token in self.ids:
                if isinstance(ids, list) and token in ids:
                    raise _refusal(field, f"token {token}")


def _written(model: Any) -> Iterator[str]:
    """Yield what vLLM writes into a prompt of text for each kind of media."""
    for modality in ("image", "video", "audio"):
        with suppress(ValueError):  # the model does not have it
            placeholder = model.get_placeholder_str(modality, 1)
            if placeholder:
                yield placeholder


def _refusal(field: str, placeholder: str) -> VLLMValidationError:
    return VLLMValidationError(
        f"{field[:100]} contains {placeholder}, which stands for an image or its borders in this model's prompts. "
        "Remove it: the server places images itself, where the request has them.",
        parameter=field[:100],
    )
