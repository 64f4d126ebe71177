"""What the operator grants one request, which travels with it to the processor."""

from dataclasses import dataclass

from gprune_vllm.account import Source
from gprune_vllm.settings import PruneSettings


@dataclass(frozen=True, slots=True)
class Terms:
    """The settings in force for one request.

    Attributes:
        settings: the server's, with the default ratio, the largest ratio and the methods of this request.
        source: where its default ratio comes from.
        tenant: label of who sent it; empty where the operator lists no tenants.
    """

    settings: PruneSettings
    source: Source = "default"
    tenant: str = ""
