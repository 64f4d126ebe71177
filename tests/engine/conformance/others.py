"""Why the rest of vLLM's tests are not run, by file. `*` is anything; the first pattern that fits counts."""

ENGINE = "the engine below the plugin and the tools around it, of which the plugin changes nothing"
INTERNALS = "classes and functions of vLLM by themselves, none of which the plugin derives from"
FAMILY = "parsers, templates or features of other model families"
TASKS = "other tasks: embeddings, ranking, speech, audio, video"
OFFLINE = "the `LLM` class on models of text; what it shares with servers is run there"
OPERATION = "starting, stopping and sharding servers: done by vLLM's own processes, which the plugin leaves alone"
CLOUD = "APIs of platforms that this project does not support: weight updates, SageMaker, Cohere, batch files"
INSTALLED = "other plugins, which would have to be installed"
FLAGS = "features behind flags that this project leaves off: prompt embeddings, tensorizer, watermarks"
QUALITY = "how well a model of gigabytes answers"

OTHERS = {
    # The API
    "entrypoints/anthropic/*": INTERNALS,
    "entrypoints/cli/*": OPERATION,
    "entrypoints/cohere/*": CLOUD,
    "entrypoints/generate/*": FAMILY,
    "entrypoints/launchers/test_run_batch.py": CLOUD,
    "entrypoints/launchers/*": OPERATION,
    "entrypoints/llm/*": OFFLINE,
    "entrypoints/multimodal/llm/*": FAMILY,
    "entrypoints/multimodal/openai/chat_completion/test_chat_completion_with_mixed_image_embeds.py": FAMILY,
    "entrypoints/multimodal/openai/chat_completion/test_default_mm_loras.py": FAMILY,
    "entrypoints/multimodal/openai/chat_completion/*": TASKS,
    "entrypoints/openai/chat_completion/test_chat_completion_with_prompt_embeds.py": FLAGS,
    "entrypoints/openai/chat_completion/*": FAMILY,
    "entrypoints/openai/completion/test_completion_text_offset.py": INTERNALS,
    "entrypoints/openai/completion/*": FLAGS,
    "entrypoints/openai/correctness/*": QUALITY,
    "entrypoints/openai/parser/*": FAMILY,
    "entrypoints/openai/responses/test_errors.py": INTERNALS,
    "entrypoints/openai/responses/*": FAMILY,
    "entrypoints/openai/test_render_token_offsets.py": INTERNALS,
    "entrypoints/openai/test_watermarking.py": FLAGS,
    "entrypoints/openai/*": FAMILY,
    "entrypoints/pooling/*": TASKS,
    "entrypoints/rl/*": CLOUD,
    "entrypoints/scale_out/*": INTERNALS,
    "entrypoints/serve/instrumentator/test_uds.py": OPERATION,
    "entrypoints/serve/sagemaker/*": CLOUD,
    "entrypoints/serve/*": INTERNALS,
    "entrypoints/speech_to_text/*": TASKS,
    "entrypoints/tool_parsers/*": FAMILY,
    "entrypoints/unit_tests/*": INTERNALS,
    # Multimodal inputs and models
    "models/multimodal/pooling/*": TASKS,
    "models/multimodal/*": FAMILY,
    "models/*": FAMILY,
    "multimodal/*test_audio.py": TASKS,
    "multimodal/*test_video.py": TASKS,
    "multimodal/test_vidcom2.py": TASKS,
    "multimodal/*": INTERNALS,
    "parser/*": FAMILY,
    "plugins_tests/*": INSTALLED,
    "reasoning/*": FAMILY,
    "renderers/*": INTERNALS,
    "tokenizers_/*": FAMILY,
    "tool_parsers/*": FAMILY,
    "tool_use/*": FAMILY,
    # What lies below
    "v1/metrics/*": INTERNALS,
    "test_*": INTERNALS,
    "*": ENGINE,
}
