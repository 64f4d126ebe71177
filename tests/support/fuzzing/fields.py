"""Fields that bodies have beside the prompt, each with right values: hypothesis strategies."""

from hypothesis import strategies as st

from tests.support.fuzzing.conversations import blocks, words
from tests.support.fuzzing.values import Fields, lists, objects, odd, scalars, tagged, texts

ratios = st.floats(0, 0.95) | st.sampled_from((0, 0.5, 0.7, 0.9))
METHODS = (
    "gprune",
    "gprune-nms",
    "gprune-blend",
    "grid",
    "l2norm",
    "random",
    "divprune",
    "scope",
    "tome",
    "visionzip",
    "fastv",
)
PRUNING: Fields = {
    "prune_ratio": ratios,
    "visual_token_budget": st.integers(1, 300),
    "prune_method": st.sampled_from(METHODS),
}
switches = st.booleans()
tokens = lists(st.integers(0, 262), 1)
schema = st.sampled_from(({}, {"type": "string"}, {"type": "object", "properties": {"a": {"type": "integer"}}}))
SAMPLING: Fields = {
    "temperature": st.floats(0, 2),
    "top_p": st.floats(0.01, 1),
    "top_k": st.integers(0, 300),
    "seed": st.integers(0, 2**31),
    "logit_bias": st.dictionaries(st.integers(0, 262).map(str), st.floats(-100, 100), max_size=3),
    "stream": switches,
    "stop": words | lists(words),
    "user": words,
    "presence_penalty": st.floats(-2, 2),
    "frequency_penalty": st.floats(-2, 2),
    "metadata": st.dictionaries(texts, texts, max_size=2),
}
EXTENDED: Fields = SAMPLING | {
    "min_p": st.floats(0, 1),
    "repetition_penalty": st.floats(0.1, 2),
    "stop_token_ids": tokens,
    "ignore_eos": switches,
    "include_stop_str_in_output": switches,
    "skip_special_tokens": switches,
    "cache_salt": words,
    "priority": st.integers(-5, 5),
    "request_id": words,
    "vllm_xargs": st.dictionaries(texts, scalars, max_size=2),
    "kv_transfer_params": odd,
    "mm_processor_kwargs": odd,
    "media_io_kwargs": odd,
    "chat_template_kwargs": odd,
    "structured_outputs": objects(json=schema) | objects(choice=st.just(["a", "b"])) | objects(regex=st.just("[a-z]+")),
}
COMPLETION: Fields = EXTENDED | {
    "n": st.integers(1, 3),
    "logprobs": switches | st.integers(0, 3),
    "top_logprobs": st.integers(0, 3),
    "prompt_logprobs": st.integers(0, 3),
    "min_tokens": st.integers(0, 4),
    "bad_words": lists(words),
    "allowed_token_ids": tokens,
    "logprob_token_ids": tokens,
    "truncate_prompt_tokens": st.integers(-1, 300),
    "echo": switches,
    "use_beam_search": switches,
    "length_penalty": st.floats(-2, 2),
    "stream_options": objects({"include_usage": switches, "continuous_usage_stats": switches}),
    "return_token_ids": switches,
    "return_tokens_as_token_ids": switches,
    "repetition_detection": objects(max_pattern_size=st.integers(0, 4), min_count=st.integers(2, 3)),
    "response_format": tagged("json_object") | tagged("json_schema", json_schema=objects(name=words, schema=schema)),
}
tools = lists(tagged("function", function=objects(name=words, parameters=schema)))
CHAT: Fields = (
    COMPLETION
    | PRUNING
    | {
        "tools": tools,
        "tool_choice": st.sampled_from(("none", "auto", "required")),
        "add_generation_prompt": switches,
        "continue_final_message": switches,
        "reasoning_effort": st.sampled_from(("low", "none")),
        "documents": lists(st.dictionaries(texts, texts, max_size=2)),
    }
)
RESPONSES: Fields = (
    EXTENDED
    | PRUNING
    | {
        "instructions": words,
        "include": lists(st.sampled_from(("message.output_text.logprobs", "reasoning.encrypted_content"))),
        "top_logprobs": st.integers(0, 3),
        "text": objects(format=tagged("text") | tagged("json_schema", name=words, schema=schema)),
        "tools": lists(tagged("function", name=words, parameters=schema)),
        "tool_choice": st.sampled_from(("none", "auto", "required")),
        "store": switches,
        "background": switches,
        "previous_response_id": words,
        "reasoning": objects(effort=st.just("low")),
        "truncation": st.sampled_from(("auto", "disabled")),
        "enable_response_messages": switches,
    }
)
MESSAGES: Fields = SAMPLING | {
    "system": words | lists(blocks),
    "stop_sequences": lists(words),
    "thinking": tagged("enabled", budget_tokens=st.integers(1024, 2000)) | tagged("disabled"),
    "tools": lists(objects(name=words, input_schema=schema)),
    "tool_choice": tagged("auto") | tagged("tool", name=words),
}
TOKENIZE: Fields = {
    "prompt": words,
    "add_special_tokens": switches,
    "return_token_strs": switches,
    "add_generation_prompt": switches,
    "continue_final_message": switches,
    "tools": tools,
    "chat_template_kwargs": odd,
    "mm_processor_kwargs": odd,
}

SHOWN: Fields = {name: right | lists(right, 1) for name, right in PRUNING.items()} | {"scores": switches}
