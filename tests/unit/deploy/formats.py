"""What files other than Kubernetes objects may say: their readers ignore a key that they do not know.

The schemas name the fields that the files under deploy/ use. They were derived from vllm-stack 0.1.12,
llm-d-modelservice v0.4.12 and Grafana 13.2.
"""

import json
from importlib.resources import files

from tests.unit.deploy.kinds import KSERVE, POD_MONITOR, RAY
from tests.unit.deploy.schemas import (
    BOOLEAN,
    COUNT,
    DURATION,
    ENVIRONMENT,
    MOUNTS,
    POD_SECURITY,
    PROBE,
    SECURITY,
    STRING,
    TEXT,
    TOLERATIONS,
    VOLUMES,
    Schema,
    array,
    closed,
    kubernetes,
)

# The compose specification's own schema, as check-jsonschema brings it along.
COMPOSE: Schema = json.loads((files("check_jsonschema") / "builtin_schemas/vendor/compose-spec.json").read_text())

# What kustomize applies without a word of keys that it does not know, as a replacement by nothing.
PATCH = array(closed(("value",), op={"enum": ["add", "remove", "replace"]}, path=STRING, value={}))

# A schema's keywords: validators ignore those that they do not know.
_SCHEMAS: Schema = {"type": "object", "additionalProperties": {"$ref": "#"}}
JSON_SCHEMA: Schema = {
    "properties": {
        **{key: {} for key in ("$schema", "$ref", "type", "pattern", "description", "const", "required")},
        **dict.fromkeys(("minLength", "minimum"), COUNT),
        **dict.fromkeys(("$defs", "properties"), _SCHEMAS),
        **{key: {"$ref": "#"} for key in ("if", "then", "items", "propertyNames")},
        "additionalProperties": {"anyOf": [{"const": False}, {"type": "object", "$ref": "#"}]},
        "allOf": array({"$ref": "#"}),
    },
    "additionalProperties": False,
}

SWITCH: Schema = {"enum": ["true", "false"]}
# GF_SECTION_KEY is a key of Grafana's configuration file.
GRAFANA_ENVIRONMENT = closed(
    GF_AUTH_ANONYMOUS_ENABLED=SWITCH,
    GF_AUTH_DISABLE_LOGIN_FORM=SWITCH,
    GF_SECURITY_DISABLE_INITIAL_ADMIN_CREATION=SWITCH,
    GF_PLUGINS_PREINSTALL_DISABLED=SWITCH,
    GF_ANALYTICS_REPORTING_ENABLED=SWITCH,
    GF_ANALYTICS_CHECK_FOR_UPDATES=SWITCH,
)

GRAFANA_DATASOURCES = closed(
    apiVersion={"const": 1},
    datasources=array(
        closed(
            name=STRING,
            uid=STRING,
            type={"const": "prometheus"},
            access={"const": "proxy"},
            url=STRING,
            isDefault=BOOLEAN,
            editable=BOOLEAN,
            jsonData=closed(httpMethod={"enum": ["POST", "GET"]}, timeInterval=DURATION),
        )
    ),
)

GRAFANA_DASHBOARDS = closed(
    apiVersion={"const": 1},
    providers=array(
        closed(
            name=STRING,
            folder=STRING,
            type={"const": "file"},
            allowUiUpdates=BOOLEAN,
            disableDeletion=BOOLEAN,
            updateIntervalSeconds=COUNT,
            options=closed(path=STRING),
        )
    ),
)

# Of a dashboard's table; Grafana's library does not look into it.
TRANSFORMATION = closed(id={"const": "organize"}, options=closed(excludeByName={"type": "object"}))

SECRET_KEY = closed(secretName=STRING, secretKey=STRING)
PRODUCTION_STACK = closed(
    servingEngineSpec=closed(
        runtimeClassName=TEXT,
        imagePullPolicy={"enum": ["Always", "IfNotPresent", "Never"]},
        securityContext=POD_SECURITY,
        containerSecurityContext=SECURITY,
        startupProbe=PROBE,
        vllmApiKey=SECRET_KEY,
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
                hf_token=SECRET_KEY,
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
        securityContext=POD_SECURITY,
        containerSecurityContext=SECURITY,
        env=ENVIRONMENT,
        extraVolumes=VOLUMES,
        extraVolumeMounts=MOUNTS,
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

VALUES: dict[str, Schema] = {
    "kserve": KSERVE,
    "kserve-pod-monitor": POD_MONITOR,
    "llm-d-modelservice": LLM_D,
    "production-stack": PRODUCTION_STACK,
    "ray": RAY,
}
