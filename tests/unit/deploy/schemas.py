"""JSON schemas that refuse every key they do not name, and what they are made of."""

import json
from functools import cache
from importlib.resources import files
from typing import Any

import kubernetes_validate
from jsonschema.validators import Draft202012Validator, validator_for
from referencing import Registry, Resource

Schema = dict[str, Any]

STRING: Schema = {"type": "string", "minLength": 1}
TEXT: Schema = {"type": "string"}
BOOLEAN: Schema = {"type": "boolean"}
COUNT: Schema = {"type": "integer", "minimum": 0}
DURATION: Schema = {"type": "string", "pattern": "^([0-9]+(ms|[smhd]))+$"}
NUMERAL: Schema = {"type": "string", "pattern": "^[0-9]+$"}
STRINGS: Schema = {"type": "object", "additionalProperties": STRING}
EMPTY: Schema = {"type": "object", "maxProperties": 0}


def closed(optional: tuple[str, ...] = (), **properties: Schema) -> Schema:
    """An object with these properties and no others; all are required but the optional ones."""
    required = [name for name in properties if name not in optional]
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}


def array(items: Schema) -> Schema:
    return {"type": "array", "items": items, "minItems": 1}


def kubernetes(definition: str) -> Schema:
    """A definition of Kubernetes' own, such as `api.core.v1.PodSpec`."""
    return {"$ref": f"https://kubernetes.io/api/_definitions.json#/$defs/io.k8s.{definition}"}


PROBE = kubernetes("api.core.v1.Probe")
VOLUMES = array(kubernetes("api.core.v1.Volume"))
MOUNTS = array(kubernetes("api.core.v1.VolumeMount"))
ENVIRONMENT = array(kubernetes("api.core.v1.EnvVar"))
TOLERATIONS = array(kubernetes("api.core.v1.Toleration"))
POD_SECURITY = kubernetes("api.core.v1.PodSecurityContext")
SECURITY = kubernetes("api.core.v1.SecurityContext")


def complaints(document: Any, schema: Schema) -> list[str]:
    """What in a document its schema does not allow: the place, and why."""
    validator = validator_for(schema, default=Draft202012Validator)(schema, registry=_registry())
    return [f"{error.json_path}: {error.message}" for error in validator.iter_errors(document)]


@cache
def _registry() -> Registry[Any]:
    folder = f"v{kubernetes_validate.latest_version()}-local-strict"
    file = files("kubernetes_validate") / "kubernetes-json-schema" / folder / "_definitions.json"
    definitions: Resource[Any] = Resource.from_contents(json.loads(file.read_text()))
    return definitions @ Registry()
