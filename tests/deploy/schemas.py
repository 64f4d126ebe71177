"""What deployment files may say, as JSON schemas that refuse every key they do not name.

Kinds that Kubernetes itself defines are held against its own schemas. For the rest the schemas here name the fields
that the files under deploy/ use: charts ignore a key that they do not know. They were derived from
prometheus-operator 0.93, KEDA 2.20, KServe 0.20, KubeRay 1.7, vllm-stack 0.1.12 and llm-d-modelservice v0.4.12.
"""

import json
from functools import cache
from importlib.resources import files
from typing import Any

import kubernetes_validate
from jsonschema import Draft202012Validator
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


def resource(api_version: str, kind: str, spec: Schema) -> Schema:
    """An object as a cluster takes it."""
    metadata = closed(("namespace", "labels"), name=STRING, namespace=STRING, labels=STRINGS)
    return closed(apiVersion={"const": api_version}, kind={"const": kind}, metadata=metadata, spec=spec)


PROBE = kubernetes("api.core.v1.Probe")
VOLUMES = array(kubernetes("api.core.v1.Volume"))
MOUNTS = array(kubernetes("api.core.v1.VolumeMount"))
ENVIRONMENT = array(kubernetes("api.core.v1.EnvVar"))
TOLERATIONS = array(kubernetes("api.core.v1.Toleration"))
POD_SECURITY = kubernetes("api.core.v1.PodSecurityContext")
SECURITY = kubernetes("api.core.v1.SecurityContext")

POD_MONITOR = resource(
    "monitoring.coreos.com/v1",
    "PodMonitor",
    closed(
        selector=kubernetes("apimachinery.pkg.apis.meta.v1.LabelSelector"),
        podMetricsEndpoints=array(closed(port=STRING, path=STRING, interval=DURATION)),
    ),
)

PROMETHEUS_RULE = resource(
    "monitoring.coreos.com/v1",
    "PrometheusRule",
    closed(
        groups=array(
            closed(
                name=STRING,
                rules=array(
                    {
                        "oneOf": [
                            closed(record=STRING, expr=STRING),
                            closed(alert=STRING, expr=STRING, **{"for": DURATION}, labels=STRINGS, annotations=STRINGS),
                        ]
                    }
                ),
            )
        )
    ),
)

SCALED_OBJECT = resource(
    "keda.sh/v1alpha1",
    "ScaledObject",
    closed(
        scaleTargetRef=closed(name=STRING),
        minReplicaCount=COUNT,
        maxReplicaCount=COUNT,
        pollingInterval=COUNT,
        fallback=closed(failureThreshold=COUNT, replicas=COUNT),
        advanced=closed(
            horizontalPodAutoscalerConfig=closed(
                behavior=kubernetes("api.autoscaling.v2.HorizontalPodAutoscalerBehavior")
            )
        ),
        triggers=array(
            closed(
                type={"const": "prometheus"},
                name=STRING,
                metadata=closed(serverAddress=STRING, query=STRING, threshold=NUMERAL),
            )
        ),
    ),
)

KSERVE = resource(
    "serving.kserve.io/v1alpha2",
    "LLMInferenceService",
    closed(
        model=closed(uri={"type": "string", "pattern": "^(hf|pvc|s3|oci)://"}, name=STRING),
        replicas=COUNT,
        router=closed(gateway=EMPTY, route=EMPTY, scheduler=EMPTY),
        template=kubernetes("api.core.v1.PodSpec"),
    ),
)

RAY = resource(
    "ray.io/v1",
    "RayCluster",
    closed(
        rayVersion=STRING,
        headGroupSpec=closed(
            rayStartParams=closed(**{"num-gpus": NUMERAL}), template=kubernetes("api.core.v1.PodTemplateSpec")
        ),
        workerGroupSpecs=array(
            closed(
                groupName=STRING,
                replicas=COUNT,
                minReplicas=COUNT,
                maxReplicas=COUNT,
                rayStartParams=closed(**{"num-gpus": NUMERAL}),
                template=kubernetes("api.core.v1.PodTemplateSpec"),
            )
        ),
    ),
)

PRODUCTION_STACK = closed(
    servingEngineSpec=closed(
        runtimeClassName=TEXT,
        imagePullPolicy={"enum": ["Always", "IfNotPresent", "Never"]},
        securityContext=POD_SECURITY,
        containerSecurityContext=SECURITY,
        startupProbe=PROBE,
        strategy=kubernetes("api.apps.v1.DeploymentStrategy"),
        serviceMonitor=closed(enabled=BOOLEAN),
        modelSpec=array(
            closed(
                name=STRING,
                repository=STRING,
                tag=STRING,
                modelURL=STRING,
                replicaCount=COUNT,
                requestCPU=COUNT,
                requestMemory=STRING,
                limitMemory=STRING,
                requestGPU=COUNT,
                pvcStorage=STRING,
                pvcAccessMode=array(STRING),
                vllmConfig=closed(enablePrefixCaching=BOOLEAN, maxModelLen=COUNT, extraArgs=array(STRING)),
                env=ENVIRONMENT,
                extraVolumes=VOLUMES,
                extraVolumeMounts=MOUNTS,
                tolerations=TOLERATIONS,
            )
        ),
    ),
    routerSpec=closed(
        tag=STRING,
        imagePullPolicy={"enum": ["Always", "IfNotPresent", "Never"]},
        routingLogic={"enum": ["roundrobin", "session", "prefixaware", "kvaware"]},
    ),
)

LLM_D = closed(
    modelArtifacts=closed(name=STRING, uri={"type": "string", "pattern": "^(hf|pvc|pvc\\+hf|oci)://"}, size=STRING),
    routing=closed(servicePort=COUNT, proxy=closed(enabled=BOOLEAN)),
    prefill=closed(create=BOOLEAN),
    decode=closed(
        replicas=COUNT,
        parallelism=closed(tensor=COUNT),
        terminationGracePeriodSeconds=COUNT,
        extraConfig=closed(securityContext=POD_SECURITY),
        containers=array(
            closed(
                name=STRING,
                image=STRING,
                modelCommand={"enum": ["vllmServe", "imageDefault", "custom"]},
                args=array(STRING),
                env=ENVIRONMENT,
                ports=array(kubernetes("api.core.v1.ContainerPort")),
                resources=kubernetes("api.core.v1.ResourceRequirements"),
                mountModelVolume=BOOLEAN,
                volumeMounts=MOUNTS,
                extraConfig=closed(
                    securityContext=SECURITY,
                    startupProbe=PROBE,
                    readinessProbe=PROBE,
                    lifecycle=kubernetes("api.core.v1.Lifecycle"),
                ),
            )
        ),
        volumes=VOLUMES,
        tolerations=TOLERATIONS,
        monitoring=closed(podmonitor=closed(enabled=BOOLEAN)),
    ),
)

KINDS = {
    "LLMInferenceService": KSERVE,
    "PodMonitor": POD_MONITOR,
    "PrometheusRule": PROMETHEUS_RULE,
    "RayCluster": RAY,
    "ScaledObject": SCALED_OBJECT,
}


def complaints(document: Any, schema: Schema) -> list[str]:
    """What in a document its schema does not allow: the place, and why."""
    found = Draft202012Validator(schema, registry=_registry()).iter_errors(document)
    return [f"{error.json_path}: {error.message}" for error in found]


def kubernetes_complaints(document: dict[str, Any]) -> list[str]:
    """The same for an object of any kind that a cluster takes."""
    if document["kind"] in KINDS:
        return complaints(document, KINDS[document["kind"]])
    try:
        kubernetes_validate.validate(document, kubernetes_validate.latest_version(), strict=True)
    except kubernetes_validate.ValidationError as error:
        return [f"{error.json_path}: {error.message}"]
    return []


@cache
def _registry() -> Registry[Any]:
    folder = f"v{kubernetes_validate.latest_version()}-local-strict"
    file = files("kubernetes_validate") / "kubernetes-json-schema" / folder / "_definitions.json"
    definitions: Resource[Any] = Resource.from_contents(json.loads(file.read_text()))
    return definitions @ Registry()
