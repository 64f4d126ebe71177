"""Which of vLLM's own tests are run against ours, on which server, and which of them do not apply."""

from tests.engine.conformance.suite import MODEL, QUICK, SAFER, SEED, SERVER, SLOW, TASK, VLLM, Suite

_CHAT = "entrypoints/openai/chat_completion/"
_COMPLETION = "entrypoints/openai/completion/"
_RESPONSES = "entrypoints/openai/responses/"
_SERVE = "entrypoints/serve/"
_VISION = "entrypoints/multimodal/openai/"

SELECTION = (
    # Without a server
    Suite("plugins_tests/test_endpoint_plugins.py"),
    Suite("models/multimodal/processing/test_common.py", only="*[*llava-hf/llava-v1.6-mistral-7b-hf]"),
    Suite(
        "models/multimodal/processing/test_llava_next.py",
        excluded={"test_processor_max_tokens": VLLM, "test_processor_prompt_replacements_all": VLLM},
    ),
    Suite(
        "multimodal/media/test_connector.py",
        excluded={
            "test_fetch_image_http": SAFER,
            "test_fetch_image_base64[.bmp*]": SAFER,
            "test_fetch_image_base64[.tiff*]": SAFER,
            "test_fetch_image_local_files": SAFER,
            "test_fetch_image_local_files_with_space_in_name": SAFER,
            "test_fetch_image_data_url_malformed": SAFER,
            "test_fetch_image_error_conversion": SAFER,
            "test_ssrf_bypass_backslash_*": SAFER,
            "test_fetch_video_http*": TASK,
            "test_allowed_media_domains": TASK,
        },
    ),
    Suite(
        "multimodal/media/test_image.py",
        excluded={
            "test_image_media_io_accepts_common_raster_formats": SAFER,
            "test_image_media_io_load_bytes": SAFER,
            "test_image_media_io_load_file": SAFER,
            "test_image_media_io_rejects_postscript_payload": SAFER,
            "test_image_pixel_limit_rejected": SAFER,
        },
    ),
    Suite(
        "multimodal/media/test_unprocessable_entity_error.py",
        excluded={
            "*::test_fetch_image_404": SAFER,
            "*::test_fetch_image_async_500_preserved": SAFER,
            "*::test_fetch_image_async_dns_error": SAFER,
            "*::test_fetch_image_connection_error": SAFER,
            "*::test_fetch_image_download_size_limit_error": SAFER,
        },
    ),
    Suite(_CHAT + "test_chat_error.py"),
    Suite(_CHAT + "test_non_object_body_validation.py"),
    Suite(_CHAT + "test_thinking_token_budget_validation.py"),
    Suite(_COMPLETION + "test_completion_error.py"),
    Suite(_COMPLETION + "test_lora_resolvers.py"),
    Suite(_RESPONSES + "test_function_call_parsing.py"),
    Suite(_RESPONSES + "test_protocol.py"),
    Suite(_RESPONSES + "test_sampling_params.py"),
    Suite(
        _RESPONSES + "test_serving_responses.py",
        excluded={"*::test_zero_delta_items_should_preserve_streaming_lifecycle": VLLM},
    ),
    Suite("entrypoints/openai/test_penalty_default_resolution.py"),
    Suite("entrypoints/openai/test_session_id.py"),
    Suite("entrypoints/openai/test_stop_token_ids.py"),
    Suite("entrypoints/openai/test_tool_calls_serialization.py"),
    Suite("entrypoints/openai/test_tool_choice_content_none.py"),
    Suite("entrypoints/unit_tests/test_non_object_body_validation.py"),
    Suite("tool_use/test_chat_completion_request_validations.py"),
    Suite(
        "tool_use/test_responses_request_validations.py",
        excluded={"test_responses_request_parallel_tool_calls_null_accepted": SAFER},
    ),
    Suite("test_connections.py"),
    Suite(_SERVE + "exception_handling/test_error_sanitization.py"),
    Suite(_SERVE + "exception_handling/test_http_status_metrics.py"),
    Suite(_SERVE + "exception_handling/test_validation_exception_handler.py"),
    Suite(
        _SERVE + "middleware/test_authentication_middleware.py",
        excluded={"test_auto_discovered_unprotected_routes_no_auth": SAFER},
    ),
    Suite(_SERVE + "middleware/test_cors_middleware.py"),
    Suite(_SERVE + "tokenize/test_serving_tokenization.py"),
    Suite(
        _CHAT + "test_serving_chat.py",
        excluded={
            "TestGPTOSS*": SLOW,
            "TestServingChatWithHarmony::*": SLOW,
            "test_serving_chat_should_set_correct_max_tokens": MODEL,
            "test_serving_chat_truncate_prompt_tokens_max_token_accounting": MODEL,
        },
    ),
    # First on its server: it counts from zero
    Suite(
        _SERVE + "instrumentator/test_metrics.py",
        "plain",
        excluded={
            "test_metrics_counts[-multimodal]": VLLM,
            "test_metrics_counts[--*-multimodal]": VLLM,
            "test_metrics_counts[--*-text]": SERVER,
            "test_metrics_exist_run_batch": SLOW,
            "test_abort_metrics_reset": QUICK,
        },
        first=True,
    ),
    Suite(_SERVE + "instrumentator/test_orca_metrics.py", "plain", excluded={"test_single_completion": MODEL}),
    Suite(_SERVE + "tokenize/test_tokenization.py", "plain"),
    Suite(_SERVE + "tokenize/test_tokenize_then_chat_vlm.py", "plain"),
    Suite(
        _CHAT + "test_chat.py",
        "plain",
        excluded={
            "test_long_seed": SAFER,
            "test_more_than_one_prompt_logprobs_chat": MODEL,
            "test_single_chat_session": MODEL,
            "test_structured_outputs_choice_chat": MODEL,
            "test_structured_outputs_json_chat": MODEL,
            "test_response_format_json_object": MODEL,
            "test_response_format_json_schema": MODEL,
            "test_complex_message_content": MODEL,
            "test_chat_completion_n_parameter_non_streaming": SEED,
            "test_chat_completion_n_with_seed": SEED,
        },
    ),
    Suite(_CHAT + "test_chat_completion.py", "plain"),
    Suite(_CHAT + "test_chat_logit_bias_validation.py", "plain"),
    Suite(
        _VISION + "chat_completion/test_vision.py",
        "plain",
        excluded={"test_single_chat_session_image_base64encoded_beamsearch": MODEL},
    ),
    # In the nightly tests only
    Suite("test_request_input_bounds.py", longer=True),
    Suite(
        _SERVE + "instrumentator/test_basic.py",
        "plain",
        moved={"test_request_cancel*": "guarded"},
        longer=True,
        first=True,
    ),
    Suite(_SERVE + "tokenize/test_tokenization_vlm.py", "plain", excluded={"*": MODEL}, longer=True),
    Suite(_CHAT + "test_batched_chat_completions.py", "plain", longer=True),
    Suite(_CHAT + "test_logprob_token_ids.py", "plain", longer=True),
    Suite(
        "entrypoints/openai/test_return_token_ids.py",
        "plain",
        excluded={
            "test_chat_completion_with_tool_use": MODEL,
            "test_chat_completion_with_emoji_and_token_ids": MODEL,
        },
        longer=True,
    ),
    Suite(
        _RESPONSES + "test_basic.py",
        "plain",
        excluded={"test_simple_input": MODEL, "test_instructions": MODEL, "test_chat": MODEL},
        longer=True,
    ),
    Suite(
        _RESPONSES + "test_simple.py",
        "plain",
        excluded={
            "test_reasoning_item": MODEL,
            "test_streaming_reasoning_tokens_e2e": MODEL,
            "test_non_streaming_reasoning_tokens_e2e": MODEL,
            "test_extra_sampling_params": SEED,
        },
        longer=True,
    ),
    Suite(
        _RESPONSES + "test_stateful.py",
        "plain",
        excluded={
            "test_previous_response_id": MODEL,
            "test_two_responses_with_same_prev_id": MODEL,
            "test_background_cancel": QUICK,
        },
        longer=True,
    ),
    Suite(_VISION + "responses/test_image.py", "plain", longer=True),
    Suite(
        _SERVE + "middleware/test_optional_middleware.py",
        "guarded",
        excluded={"test_v2_endpoint_accepts_valid_api_token": TASK},
        moved={"test_no_api_token": "plain", "test_no_request_id_header": "plain"},
        longer=True,
    ),
    Suite(_CHAT + "test_root_path.py", "guarded", longer=True),
    Suite(
        _COMPLETION + "test_completion.py",
        "guarded",
        excluded={
            "test_single_completion": MODEL,
            "test_parallel_no_streaming": SEED,
            "test_parallel_streaming": SEED,
        },
        longer=True,
    ),
    Suite(_COMPLETION + "test_prompt_validation.py", "guarded", longer=True),
    Suite("entrypoints/openai/test_chunked_prompt.py", "guarded", longer=True),
    Suite(
        "entrypoints/anthropic/test_messages.py",
        "open",
        excluded={
            "test_simple_messages": MODEL,
            "test_anthropic_tool_call": MODEL,
            "test_anthropic_structured_output": MODEL,
        },
        longer=True,
    ),
    Suite(
        _CHAT + "test_chat_echo.py",
        "open",
        excluded={"test_chat_session_with_echo_and_continue_final_message": MODEL},
        longer=True,
    ),
    Suite(_CHAT + "test_enable_force_include_usage.py", "open", longer=True),
    Suite(_VISION + "chat_completion/test_chat_completion_with_image_embeds.py", "open", longer=True),
    Suite("entrypoints/scale_out/render/test_render_multimodal.py", "open", longer=True),
    Suite(
        "entrypoints/scale_out/token_in_token_out/test_serving_multimodal_tokens.py",
        "open",
        excluded={"test_render_to_generate_roundtrip": MODEL},
        longer=True,
    ),
    Suite(
        "entrypoints/scale_out/token_in_token_out/test_serving_tokens.py",
        "open",
        excluded={
            "test_generate_sampling_mask": SERVER,
            "test_stop_strings_rejected_when_tokens_only": SERVER,
            "test_generate_with_lora_adapter": SERVER,
            "test_render_then_generate_forwards_reasoning_parser_kwargs": SERVER,
            "test_text_mode_rejected_when_tokens_only": SERVER,
            "test_generate_prompt_token_id_logprobs": VLLM,
            "test_stop_string_workflow": MODEL,
        },
        longer=True,
    ),
    Suite(
        "entrypoints/openai/test_openai_schema.py",
        "open",
        excluded={
            # vLLM's own routes answer 404 where their schema does not say so.
            "test_openapi_stateless[* /adapters*]": VLLM,
            "test_openapi_stateless[POST /v1/*load_lora_adapter]": VLLM,
            "test_openapi_stateless[POST /inference/v1/abort_requests]": VLLM,
        },
        longer=True,
    ),
    Suite("entrypoints/openai/models/test_models.py", "adapters", longer=True, first=True),
    Suite(
        "entrypoints/openai/test_return_tokens_as_ids.py",
        "adapters",
        excluded={
            "test_*_return_tokens_as_token_ids_completion[True]": SERVER,
        },
        longer=True,
    ),
    Suite(
        _SERVE + "lora/test_lora_adapters.py",
        "adapters",
        excluded={"test_load_lora_adapter_with_same_name_replaces_inplace": SLOW},
        longer=True,
    ),
)
