"""The demo models' tokenizer and chat template."""

from collections.abc import Mapping, Sequence

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

SPECIAL_TOKENS = ("<pad>", "<s>", "</s>", "<image>", "<|system|>", "<|user|>", "<|assistant|>")
PAD, BEGIN, END, IMAGE = range(4)

QWEN_TOKENS = ("<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>")
QWEN_MEDIA = {
    "image": "<|vision_start|><|image_pad|><|vision_end|>",
    "video": "<|vision_start|><|video_pad|><|vision_end|>",
}


def chat_template(image: str = "<image>", video: str | None = None, *, images_first: bool = False) -> str:
    """Return a chat template in Jinja.

    Args:
        image, video: what stands for one. Without `video` videos are left out.
        images_first: whether the images of a message come before its text, in whatever order they are sent, as in the
            templates of published LLaVA-NeXT checkpoints.
    """
    media = {"image": image} | ({"video": video} if video else {})
    shown = {kind: f"{{{{- '{token}\\n' }}}}" for kind, token in media.items()}
    text = {"text": "{{- content['text'] }}"}
    loops = (shown, text) if images_first else (shown | text,)
    return TEMPLATE.replace("LOOPS", "".join(map(_loop, loops)))


def _loop(parts: Mapping[str, str]) -> str:
    """A loop over a message's parts that writes those of the given types."""
    tests = (
        f"            {{%- if content['type'] == '{kind}' %}}\n                {shown}\n            {{%- endif %}}\n"
        for kind, shown in parts.items()
    )
    return "        {%- for content in message['content'] %}\n" + "".join(tests) + "        {%- endfor %}\n"


TEMPLATE = """\
{{- bos_token }}
{%- for message in messages %}
    {{- '<|' + message['role'] + '|>' }}
    {%- if message['content'] is string %}
        {{- message['content'] }}
    {%- elif message['content'] %}
LOOPS    {%- endif %}
    {%- if message['role'] == 'assistant' %}
        {{- eos_token }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|assistant|>' }}
{%- endif %}
"""


def build_tokenizer(texts: Sequence[str] = ()) -> Tokenizer:
    """Byte-level BPE with the words of `texts` for tokens, and without any one token a byte.

    Any text comes back as it went in.
    """
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: index for index, token in enumerate((*SPECIAL_TOKENS, *alphabet))}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=bool(texts))
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(list(SPECIAL_TOKENS))
    if texts:
        trainer = trainers.BpeTrainer(
            initial_alphabet=alphabet, special_tokens=list(SPECIAL_TOKENS), show_progress=False
        )
        tokenizer.train_from_iterator(texts, trainer)
    return tokenizer
