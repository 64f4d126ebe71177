"""What differs for the server between vLLM 0.32 and 0.33. Nothing else asks for the version of vLLM."""

from argparse import Namespace
from typing import Any

try:  # vLLM 0.33
    from vllm.entrypoints.common.cli_args import (
        make_arg_parser,
        resolve_default_chat_template_kwargs,
        validate_parsed_serve_args,
    )
    from vllm.entrypoints.common.startup import VLLM_SUBCMD_PARSER_EPILOG, cli_env_setup
except ModuleNotFoundError:  # vLLM 0.32
    from vllm.entrypoints.launchers.cli_args import (
        make_arg_parser,
        resolve_default_chat_template_kwargs,
        validate_parsed_serve_args,
    )
    from vllm.entrypoints.serve.utils.api_utils import VLLM_SUBCMD_PARSER_EPILOG, cli_env_setup

__all__ = [
    "VLLM_SUBCMD_PARSER_EPILOG",
    "cli_env_setup",
    "decoding_options",
    "make_arg_parser",
    "over_budget",
    "renderer_options",
    "resolve_default_chat_template_kwargs",
    "validate_parsed_serve_args",
]

DECODED_BYTES = "VLLM_MAX_MEDIA_REQUEST_DECODE_BYTES"


def renderer_options(args: Namespace) -> dict[str, Any]:
    """Arguments of `OnlineRenderer` that vLLM 0.32 does not have: without them a flag would be ignored."""
    return given(args, "reasoning_effort_map")


def decoding_options(connector: Any) -> dict[str, Any]:
    """Arguments of `ImageMediaIO` that vLLM 0.32 does not have: the bytes that one request may decode to."""
    return given(connector, "decoded_budget")


def over_budget(error: Exception) -> str | None:
    """Return what to tell a client whose request decodes to more bytes than vLLM 0.33 permits; None for other errors.

    vLLM raises a ValueError that names the variable, as for a file that it cannot read.
    """
    if DECODED_BYTES not in str(error):
        return None
    return (
        f"The request's images and videos have more bytes, decoded, than this server permits ({DECODED_BYTES}). "
        "Send fewer or smaller ones."
    )


def given(holder: object, name: str) -> dict[str, Any]:
    """Return an attribute as a keyword argument, where this version of vLLM has it."""
    return {name: getattr(holder, name)} if hasattr(holder, name) else {}
