"""Conversations of OpenAI's endpoints and Anthropic's, with a wrong piece here and there: hypothesis strategies."""

from hypothesis import strategies as st

from tests.support.fuzzing.pictures import urls
from tests.support.fuzzing.values import NESTED, lists, mostly, objects, odd, tagged, texts

words = mostly(st.sampled_from(("Hi", "What do you see?", "x" * 300)), texts)

# Contents and turns of a chat.
OTHER_PARTS = ("image_embeds", "image_pil", "input_audio", "audio_url", "video_url", "refusal", "file", "thinking", "x")
other_parts = st.sampled_from(OTHER_PARTS).flatmap(lambda kind: tagged(kind, **{kind: odd}))
# Two names only: one comes again for another picture, or without any.
named = {"uuid": st.sampled_from(("a", "b")), "detail": st.sampled_from(("low", "auto"))}
image_urls = mostly(objects(url=urls), urls, st.none())
image_parts = objects(named, type=st.just("image_url"), image_url=image_urls)
parts = lists(mostly(st.one_of(image_parts, tagged("text", text=words)), other_parts), 1)
arguments = st.sampled_from(("{}", "[1]", "{", *NESTED)) | words
calls = lists(tagged("function", id=words, function=objects(name=words, arguments=arguments)))
roles = mostly(st.sampled_from(("user", "assistant")), st.sampled_from(("system", "developer", "tool", "x")))
odd_turns = objects({"tool_calls": calls, "tool_call_id": words, "name": words}, role=roles, content=words | odd)
turns = mostly(objects(role=st.just("user"), content=words | parts), odd_turns)
conversations = lists(turns, 1)

# Items of a response's input.
input_parts = tagged("input_image", image_url=urls, detail=st.just("auto")) | tagged("input_text", text=words)
outputs = tagged("function_call_output", call_id=words, output=words) | tagged("reasoning", summary=lists(odd))
call_items = tagged("function_call", call_id=words, name=words, arguments=arguments)
messages = objects(role=roles, content=words | lists(mostly(input_parts, other_parts), 1))
# As agents send them: without types and details, or with null in their place.
NULLS = {name: st.none() for name in ("id", "status", "detail", "annotations", "file_id")}
bare_parts = objects(NULLS, text=texts) | objects(NULLS, image_url=urls) | objects(NULLS, refusal=texts)
bare_items = objects(NULLS, role=st.sampled_from(("user", "assistant")), content=lists(bare_parts) | st.none())
bare_outputs = objects(NULLS, type=st.just("function_call_output"), call_id=texts, output=lists(bare_parts))
items = lists(mostly(messages, call_items, outputs) | bare_items | bare_outputs, 1)

# Turns of Anthropic's messages.
sources = tagged("base64", media_type=st.just("image/png"), data=urls.map(lambda url: url.partition(",")[2]))
blocks = tagged("image", source=mostly(sources, tagged("url", url=urls), odd)) | tagged("text", text=words)
results = tagged("tool_use", id=words, name=words, input=odd) | tagged("tool_result", tool_use_id=words, content=odd)
block_turns = lists(objects(role=roles, content=words | lists(mostly(blocks, results, other_parts), 1)), 1)
