"""The Helm chart: its values always; what it renders to where Helm can be had (`make test-deploy`)."""

import json
import re
from functools import reduce
from typing import Any

import pytest

from queue_worker.celery_app import CLASSIFY, QUEUES, lists_of
from queue_worker.settings import Settings
from tests.support.paths import ROOT

yaml = pytest.importorskip("yaml", reason="transformers brings PyYAML along")

CHART = ROOT / "deploy" / "helm" / "pingti"
VALUES = yaml.safe_load((CHART / "values.yaml").read_text())
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
KUBERNETES = ("1.25.0", "1.32.0", "1.36.0")
CHANGES: dict[str, dict[str, Any]] = {
    "as it is": {},
    "one folder of ours": {"workspace": {"existingClaim": "nfs"}, "retrain": {"enabled": False}},
    "a store": {"workspace": {"store": "s3://bucket/pingti"}, "env": [{"name": "AWS_REGION", "value": "eu"}]},
    "autoscaled": {"classify": {"autoscaling": {"enabled": True}}},
    "a Valkey of ours": {
        "valkey": {"enabled": False},
        "classify": {"autoscaling": {"enabled": True, "address": "valkey.internal:6379"}},
    },
    "placed, published": {
        "images": {"pullSecrets": [{"name": "registry"}]},
        "settings": {"PINGTI_SHARD_SECONDS": "3"},
        "serviceAccount": {"annotations": {"role": "pingti"}},
        "api": {
            "ingress": {"enabled": True, "className": "nginx", "tlsSecret": "tls"},
            "nodeSelector": {"disk": "fast"},
        },
        "classify": {"tolerations": [{"key": "spot", "operator": "Exists"}]},
        "retrain": {
            "timeZone": "Europe/Berlin",
            "env": [{"name": "HTTPS_PROXY", "value": "http://proxy:3128"}],
        },
        "networkPolicy": {"apiFrom": [{"namespaceSelector": {}}]},
    },
    "open": {"networkPolicy": {"enabled": False}},
    "teachers apart": {"teach": {"enabled": True}},
}


def rendered(changes: dict[str, Any]) -> dict[tuple[str, str], dict[str, Any]]:
    """The manifests that Helm makes, by kind and name."""
    helm = pytest.importorskip("helm_python", reason="make test-deploy installs Helm's engine")
    with helm.Chart.load(str(CHART)) as chart:
        chart.validate_schema(chart.merge_values({"existingSecret": "pingti", **changes}))
        files = chart.render({"existingSecret": "pingti", **changes}, name="demo", namespace="prod")
    documents = [
        document
        for name, text in files.items()
        if name.endswith(".yaml")
        for document in yaml.safe_load_all(text)
        if document
    ]
    by_name = {(document["kind"], document["metadata"]["name"]): document for document in documents}
    assert len(by_name) == len(documents)
    return by_name


def pods(manifests: dict[tuple[str, str], dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Of each component its pod's template."""
    return {
        document["spec"]["template"]["metadata"]["labels"]["app.kubernetes.io/component"]: document["spec"][
            "template"
        ]
        for (kind, _), document in manifests.items()
        if kind in ("Deployment", "StatefulSet")
    }


def test_the_templates_use_the_values_that_there_are_and_all_of_them() -> None:
    templates = "\n".join(path.read_text() for path in sorted((CHART / "templates").iterdir()))
    used = {
        path.removeprefix(".Values.").rstrip(".") for path in re.findall(r"\.Values\.[A-Za-z.]+", templates)
    }
    for path in used:
        reduce(lambda values, name: values[name], path.split("."), VALUES)  # KeyError: it is not there

    def leaves(values: Any, path: str = "") -> list[str]:
        if not isinstance(values, dict) or not values:
            return [path.removeprefix(".")]
        return [leaf for name, value in values.items() for leaf in leaves(value, f"{path}.{name}")]

    # Those of placing and autoscaling are read inside of "with" and "include".
    within = re.compile(r"\.(nodeSelector|tolerations)$|^classify\.autoscaling\.")
    for leaf in leaves(VALUES):
        assert within.search(leaf) or any(leaf == path or leaf.startswith(f"{path}.") for path in used), leaf


def test_the_schema_knows_every_value() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text())

    def compare(values: dict[str, Any], known: dict[str, Any]) -> None:
        if "properties" not in known:
            return
        assert known["additionalProperties"] is False
        assert set(values) == set(known["properties"]) - {"global"}
        for name, value in values.items():
            if isinstance(value, dict):
                compare(value, known["properties"][name])

    compare(VALUES, schema)


def test_every_setting_can_be_given_that_no_other_value_sets() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text())
    of_other_values = {
        "home",
        "redis_url",
        "store",
        "host",
        "port",
        "api_key",
        "callback_secret",
        "concurrency",
    }
    wanted = {f"PINGTI_{field.upper()}" for field in set(Settings.model_fields) - of_other_values}
    assert set(schema["properties"]["settings"]["propertyNames"]["enum"]) == wanted


def test_the_chart_is_of_this_version() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    version = re.search(r'^version = "(.+)"$', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert version is not None
    assert chart["version"] == chart["appVersion"] == version[1]
    assert {VALUES["images"][name] for name in ("classify", "retrain")} == {
        f"pingti-{name}:{version[1]}" for name in ("classify", "retrain")
    }


def test_helm_finds_nothing_wrong() -> None:
    helm = pytest.importorskip("helm_python", reason="make test-deploy installs Helm's engine")
    findings = helm.lint(str(CHART))
    assert findings["errors"] == []
    assert {message["error"] for message in findings["messages"]} <= {"icon is recommended"}


@pytest.mark.parametrize("changes", CHANGES.values(), ids=CHANGES)
@pytest.mark.parametrize("version", KUBERNETES)
def test_what_it_renders_to_is_what_kubernetes_takes(changes: dict[str, Any], version: str) -> None:
    validator = pytest.importorskip("kubernetes_validate", reason="make test-deploy installs the schemas")
    for (kind, _), document in rendered(changes).items():
        if kind != "ScaledObject":  # KEDA's own
            validator.validate(document, version, strict=True)


@pytest.mark.parametrize("changes", CHANGES.values(), ids=CHANGES)
def test_selectors_find_their_pods_and_ports(changes: dict[str, Any]) -> None:
    manifests = rendered(changes)
    templates = pods(manifests)
    labels = {name: template["metadata"]["labels"] for name, template in templates.items()}

    def selected(selector: dict[str, str]) -> set[str]:
        return {name for name, own in labels.items() if selector.items() <= own.items()}

    for (kind, name), document in manifests.items():
        spec, component = document.get("spec", {}), name.removeprefix("demo-")
        if kind in ("Deployment", "StatefulSet", "PodDisruptionBudget"):
            assert selected(spec["selector"]["matchLabels"]) == {component}
        if kind == "Service":
            assert selected(spec["selector"]) == {component}
            names = {
                port["name"]
                for container in templates[component]["spec"]["containers"]
                for port in container["ports"]
            }
            assert {port["targetPort"] for port in spec["ports"]} <= names
        if kind == "NetworkPolicy":
            everybody = set(labels) if component == "closed" else {component}
            assert selected(spec["podSelector"]["matchLabels"]) == everybody
    claims = {name for kind, name in manifests if kind == "PersistentVolumeClaim"}
    for template in templates.values():
        for volume in template["spec"].get("volumes", []):
            if "persistentVolumeClaim" in volume:
                claim = volume["persistentVolumeClaim"]["claimName"]
                assert claim in claims or claim == changes["workspace"]["existingClaim"]


@pytest.mark.parametrize("changes", CHANGES.values(), ids=CHANGES)
def test_pods_run_what_compose_runs_as_nobody(changes: dict[str, Any]) -> None:
    templates = pods(rendered(changes))
    for name, of_compose in (
        ("api", "api"),
        ("classify", "worker"),
        ("retrain", "retrain"),
        ("teach", "teach"),
        ("control", "scheduler"),
        ("valkey", "valkey"),
    ):
        if name not in templates:
            assert {**VALUES[name], **changes.get(name, {})}["enabled"] is False
            continue
        pod = templates[name]["spec"]
        (container,) = pod["containers"]
        command = container.get("command") or container["args"]
        assert command[: len(COMPOSE[of_compose]["command"])] == COMPOSE[of_compose]["command"]
        assert pod["automountServiceAccountToken"] is False
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
        assert container["resources"]["limits"]["memory"]
        if name in ("classify", "retrain", "teach", "control"):
            check = " ".join(container["livenessProbe"]["exec"]["command"])
            assert check in COMPOSE[of_compose]["healthcheck"]["test"][1]
    assert {name for name in templates if name in QUEUES} >= {CLASSIFY}


@pytest.mark.parametrize("changes", CHANGES.values(), ids=CHANGES)
def test_the_variables_are_those_of_the_settings_and_only_the_api_has_the_key(
    changes: dict[str, Any],
) -> None:
    known = {f"PINGTI_{field.upper()}" for field in Settings.model_fields}
    for name, template in pods(rendered(changes)).items():
        if name == "valkey":
            continue
        (container,) = template["spec"]["containers"]
        variables = {entry["name"]: entry for entry in container["env"]}
        own = {"PINGTI_TEACHER_KEY"} if name in ("retrain", "teach") else set()
        assert own <= {variable for variable in variables if variable.startswith("PINGTI_")} <= known | own
        assert ("PINGTI_API_KEY" in variables) == (name == "api")
        secrets = ("PINGTI_API_KEY", "PINGTI_CALLBACK_SECRET", "PINGTI_TEACHER_KEY", "VALKEY_PASSWORD")
        for variable in secrets:
            if variable in variables:
                assert "secretKeyRef" in variables[variable]["valueFrom"]
        assert ("VALKEY_PASSWORD" in variables) == (changes.get("valkey") != {"enabled": False})


def test_with_a_store_classifying_workers_mount_nothing() -> None:
    templates = pods(rendered(CHANGES["a store"]))
    assert templates["classify"]["spec"]["volumes"] == [{"name": "workspace", "emptyDir": {}}]
    for name in ("api", "retrain", "control"):
        assert "persistentVolumeClaim" in templates[name]["spec"]["volumes"][0]
    for name in ("api", "classify", "retrain", "control"):
        (container,) = templates[name]["spec"]["containers"]
        assert {"name": "PINGTI_STORE", "value": "s3://bucket/pingti"} in container["env"]
        assert {"name": "AWS_REGION", "value": "eu"} in container["env"]


@pytest.mark.parametrize("name", ["autoscaled", "a Valkey of ours"])
def test_the_autoscaler_looks_at_lists_that_there_are(name: str) -> None:
    manifests = rendered(CHANGES[name])
    scaled = manifests["ScaledObject", "demo-classify"]["spec"]
    assert ("Deployment", scaled["scaleTargetRef"]["name"]) in manifests
    assert "replicas" not in manifests["Deployment", "demo-classify"]["spec"]
    # The plain example and the chart say the same.
    example = yaml.safe_load((ROOT / "deploy" / "keda.yaml").read_text())["spec"]["triggers"]
    wanted = {(trigger["metadata"]["listName"], trigger["metadata"]["listLength"]) for trigger in example}
    found = {
        (trigger["metadata"]["listName"], trigger["metadata"]["listLength"]) for trigger in scaled["triggers"]
    }
    assert found == wanted
    assert {listed for listed, _ in found} <= set(lists_of(CLASSIFY))
    own = name == "autoscaled"
    for trigger in scaled["triggers"]:
        assert ("passwordFromEnv" in trigger["metadata"]) == own
        assert trigger["metadata"]["address"] == ("demo-valkey:6379" if own else "valkey.internal:6379")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"existingSecret": ""}, "existingSecret: name the Secret"),
        (
            {"valkey": {"enabled": False}, "classify": {"autoscaling": {"enabled": True}}},
            "autoscaling.address",
        ),
        ({"clasify": {"replicas": 3}}, "clasify"),
        ({"settings": {"PINGTI_SHARD_ROWS": 5}}, "PINGTI_SHARD_ROWS"),
        ({"settings": {"PINGTI_SHARDROWS": "5"}}, "PINGTI_SHARDROWS"),
        ({"settings": {"PINGTI_STORE": "s3://bucket/pingti"}}, "PINGTI_STORE"),
        ({"workspace": {"store": "bucket"}}, "store"),
    ],
)
def test_a_wrong_value_is_named(changes: dict[str, Any], words: str) -> None:
    helm = pytest.importorskip("helm_python", reason="make test-deploy installs Helm's engine")
    with pytest.raises(helm.HelmError, match=words):
        rendered(changes)
