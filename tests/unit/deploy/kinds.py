"""Objects that a cluster takes. Kinds of Kubernetes' own are held against its schemas, the others against those here.

They name the fields that the files under deploy/ use, and were derived from prometheus-operator 0.93, KEDA 2.20,
KServe 0.20, KubeRay 1.7 and the Gateway API 1.4.
"""

from typing import Any

import kubernetes_validate

from tests.unit.deploy.schemas import (
    COUNT,
    DURATION,
    EMPTY,
    NUMERAL,
    STRING,
    STRINGS,
    Schema,
    array,
    closed,
    complaints,
    kubernetes,
)


def resource(api_version: str, kind: str, spec: Schema) -> Schema:
    """An object as a cluster takes it."""
    metadata = closed(("namespace", "labels"), name=STRING, namespace=STRING, labels=STRINGS)
    return closed(apiVersion={"const": api_version}, kind={"const": kind}, metadata=metadata, spec=spec)


POD_MONITOR = resource(
    "monitoring.coreos.com/v1",
    "PodMonitor",
    closed(
        selector=kubernetes("apimachinery.pkg.apis.meta.v1.LabelSelector"),
        podMetricsEndpoints=array(
            closed(
                ("port", "portNumber", "scheme"),
                port=STRING,
                portNumber=COUNT,
                path=STRING,
                interval=DURATION,
                scheme={"enum": ["http", "https"]},
            )
        ),
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
                            closed(
                                ("for",),
                                **{"alert": STRING, "expr": STRING, "for": DURATION},
                                labels=STRINGS,
                                annotations=STRINGS,
                            ),
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

NAMED = array(closed(name=STRING))
GATEWAY = resource(
    "gateway.networking.k8s.io/v1",
    "Gateway",
    closed(
        gatewayClassName=STRING,
        listeners=array(
            closed(
                name=STRING,
                protocol={"const": "HTTPS"},
                port=COUNT,
                hostname=STRING,
                tls=closed(certificateRefs=NAMED),
            )
        ),
    ),
)

HTTP_ROUTE = resource(
    "gateway.networking.k8s.io/v1",
    "HTTPRoute",
    closed(
        parentRefs=NAMED,
        hostnames=array(STRING),
        rules=array(
            closed(
                matches=array(closed(path=closed(type={"const": "PathPrefix"}, value=STRING))),
                timeouts=closed(request=DURATION),
                backendRefs=array(closed(name=STRING, port=COUNT)),
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

KINDS = {
    "Gateway": GATEWAY,
    "HTTPRoute": HTTP_ROUTE,
    "LLMInferenceService": KSERVE,
    "PodMonitor": POD_MONITOR,
    "PrometheusRule": PROMETHEUS_RULE,
    "RayCluster": RAY,
    "ScaledObject": SCALED_OBJECT,
}


def kubernetes_complaints(document: dict[str, Any]) -> list[str]:
    """What in an object a cluster would not take: the place, and why."""
    if absent := {"apiVersion", "kind"} - document.keys():
        return [f"$: {name} is missing" for name in sorted(absent)]
    if document["kind"] in KINDS:
        return complaints(document, KINDS[document["kind"]])
    try:
        kubernetes_validate.validate(document, kubernetes_validate.latest_version(), strict=True)
    except kubernetes_validate.ValidationError as error:
        return [f"{error.json_path}: {error.message}"]
    return []
