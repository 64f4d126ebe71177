"""Every field with every kind of wrong value, in a body that is right otherwise."""

from collections.abc import Iterator
from itertools import cycle

from tests.support.fuzzing.requests import ENDPOINTS, Case
from tests.support.fuzzing.values import WRONG, write


def sweep() -> Iterator[Case]:
    """A request for each field and kind of wrong value, by turns to the endpoints that have the field."""
    for field, paths in endpoints_of_fields().items():
        for (kind, value), path in zip(WRONG.items(), cycle(paths)):
            if kind != "null" or field not in LIMITS:  # without a limit the output would go on to the context's end
                yield Case(path, write({**ENDPOINTS[path].plain(), field: value}).encode())


LIMITS = {endpoint.limit for endpoint in ENDPOINTS.values()}


def endpoints_of_fields() -> dict[str, list[str]]:
    """The endpoints that have a field, by its name."""
    found: dict[str, list[str]] = {}
    for path, endpoint in ENDPOINTS.items():
        for field in {*endpoint.plain(), *endpoint.optional}:
            found.setdefault(field, []).append(path)
    return found
