"""The server under test."""

from collections.abc import Sequence
from dataclasses import dataclass

import openai

from loadtest.failure import LoadTestError

TIMEOUT = 600
"""Seconds until a single request has failed."""


@dataclass(frozen=True, slots=True)
class Target:
    """An OpenAI-compatible server.

    Attributes:
        url: without `/v1`.
        model: the name by which it is asked.
        key: for its authentication.
        metrics_urls: servers whose `/metrics` count the prompts; more than one behind a router.
    """

    url: str
    model: str
    key: str
    metrics_urls: Sequence[str]

    def client(self) -> openai.OpenAI:
        """Make a client of the server. Close it."""
        return client_of(self.url, self.key)


def client_of(url: str, key: str) -> openai.OpenAI:
    """Make a client that asks once. Close it."""
    return openai.OpenAI(base_url=f"{url}/v1", api_key=key or "none", max_retries=0, timeout=TIMEOUT)


def reach(url: str, key: str = "", model: str | None = None, metrics_urls: Sequence[str] = ()) -> Target:
    """Find a server and a model on it, the first that it lists if `model` names none.

    Raises:
        LoadTestError: no server answers, or it does not serve that model.
    """
    url = url.rstrip("/").removesuffix("/v1")
    try:
        with client_of(url, key) as client:
            names = [each.id for each in client.models.list()]
    except openai.NotFoundError:
        names = [model] if model else []  # a server that does not list its models
    except openai.APIStatusError as error:
        raise LoadTestError(f"{url}/v1/models answers {error.status_code}: {error.message}") from error
    except openai.OpenAIError as error:
        raise LoadTestError(f"no server answers at {url}: {error}") from error
    if not names or (model and model not in names):
        raise LoadTestError(f"{url} serves {', '.join(names) or 'no model'}, not {model or 'any'}")
    return Target(url, model or names[0], key, tuple(metrics_urls) or (url,))
