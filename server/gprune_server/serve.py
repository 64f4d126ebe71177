"""`gprune-serve`: `vllm serve` with additional flags for pruning and limits."""

import os
from argparse import SUPPRESS, Namespace
from importlib.metadata import entry_points

from gprune_server.choosing.settings import ChoosingSettings
from gprune_server.dtype import default_dtype
from gprune_server.guard.limits import Limits
from gprune_server.shadow.settings import ShadowSettings
from gprune_vllm.settings import OperatorSettings, PruneSettings, environment_name, flag_name
from gprune_vllm.termination import exit_at_signals

PLUGIN_NAME = "gprune"
LEAKS = "ignore:resource_tracker:UserWarning"
"""A filter of warnings, as `PYTHONWARNINGS` takes it."""
GROUPS: dict[str, tuple[type[OperatorSettings], str]] = {
    "gprune": (PruneSettings, "Visual token pruning."),
    "gprune-choosing": (ChoosingSettings, "Pruning of requests whose body says nothing of it."),
    "gprune-shadow": (ShadowSettings, "Judging answers by the unpruned model."),
    "gprune-limits": (Limits, "Limits on client requests."),
}
"""Flag groups by the name that `--help=NAME` takes."""
SHUTDOWN_TIMEOUT = 60
"""Seconds to finish requests at SIGTERM. vLLM's own default is 0."""


def main() -> None:
    """Parse the command line, validate the settings, and serve."""
    exit_at_signals()
    enable_plugins()  # first, because vLLM reads the plugins while building its parser
    hide_leaks()

    from vllm.entrypoints.cli.serve import ServeSubcommand
    from vllm.logger import configure_logging_from_args

    from gprune_server.compatibility import cli_env_setup, validate_parsed_serve_args

    cli_env_setup()
    parser = build_parser()
    args = parser.parse_args()
    try:
        export_settings(args)
        refuse_rust_frontend()
    except ValueError as error:
        parser.error(str(error))
    configure_logging_from_args(args)
    report_dtype(args)
    validate_parsed_serve_args(args)
    ServeSubcommand.cmd(args)


def build_parser() -> "FlexibleArgumentParser":  # type: ignore[name-defined] # noqa: F821
    """Build the parser of `vllm serve` with the flags of `GROUPS` and defaults for this processor."""
    from vllm.utils.argparse_utils import FlexibleArgumentParser

    from gprune_server.compatibility import VLLM_SUBCMD_PARSER_EPILOG, make_arg_parser

    parser = make_arg_parser(FlexibleArgumentParser(prog="gprune-serve", description=__doc__))
    parser.epilog = VLLM_SUBCMD_PARSER_EPILOG.format(subcmd="serve")
    add_settings(parser)
    parser.set_defaults(dtype=default_dtype())
    return parser


def add_settings(parser: "FlexibleArgumentParser") -> None:  # type: ignore[name-defined] # noqa: F821
    """Add a flag for each field of the settings, and the default of `--shutdown-timeout`."""
    for title, (settings, description) in GROUPS.items():
        group = parser.add_argument_group(title, f"{description} Each flag can also be set by environment variable.")
        for name, field in settings.model_fields.items():
            text = f"{field.description} Environment: {environment_name(name)}. (default: {field.default})"
            switch = {"action": "store_true"} if field.annotation is bool else {}
            group.add_argument(flag_name(name), default=SUPPRESS, help=text.replace("%", "%%"), **switch)
    parser.set_defaults(shutdown_timeout=SHUTDOWN_TIMEOUT)


def report_dtype(args: Namespace) -> None:
    """Log why the data type may differ from that of the checkpoint."""
    from vllm.logger import init_logger

    if args.dtype == default_dtype() == "float32":
        init_logger(f"vllm.{__name__}").info(
            "This processor has no bfloat16 instructions. Serving in float32; --dtype bfloat16 overrides this."
        )


def export_settings(args: Namespace) -> None:
    """Validate the given flags and export them as environment variables to the processes that vLLM starts.

    Raises:
        ValueError: a setting is invalid; the message names the flag.
    """
    for settings, _ in GROUPS.values():
        given = {name: value for name, value in vars(args).items() if name in settings.model_fields}
        settings.load(**given)
        os.environ.update({environment_name(name): str(value) for name, value in given.items()})


def enable_plugins() -> None:
    """Add gprune to `VLLM_PLUGINS`. vLLM loads endpoint plugins only if named there, and then no unnamed plugin."""
    named = os.environ.get("VLLM_PLUGINS")
    names = set(named.split(",")) if named is not None else _installed_plugins()
    os.environ["VLLM_PLUGINS"] = ",".join(sorted(name for name in names | {PLUGIN_NAME} if name))


def hide_leaks() -> None:
    """Have Python's resource tracker, which starts later, remove what a stopped process left without a warning."""
    os.environ["PYTHONWARNINGS"] = ",".join(filter(None, (os.environ.get("PYTHONWARNINGS"), LEAKS)))


def _installed_plugins() -> set[str]:
    """Return the plugins that vLLM loads by default: all except endpoint plugins."""
    groups = ("general", "platform", "io_processor", "stat_logger")
    return {plugin.name for group in groups for plugin in entry_points(group=f"vllm.{group}_plugins")}


def refuse_rust_frontend() -> None:
    """Refuse to start with vLLM's Rust frontend, which has no Python routes.

    Raises:
        ValueError: the environment selects it.
    """
    import vllm.envs

    if vllm.envs.VLLM_USE_RUST_FRONTEND:
        raise ValueError("VLLM_USE_RUST_FRONTEND=1 disables the routes of plugins. Unset it to serve with gprune.")


if __name__ == "__main__":
    main()
