"""The manifests agree with the image and the settings, and run velum as closed as it should be."""

import json
from typing import Any

import pytest
import yaml
from tests.deploy.reading import ROOT, VERSION, kubernetes, stages

from velum.settings import variables

FOLDER = ROOT / "deploy/kubernetes"
SINGLE = {one["kind"]: one for one in kubernetes("single")}
SCALED = yaml.safe_load((FOLDER / "scaled/shared-nothing.yaml").read_text())
FINAL = stages()[-1]
POD = SINGLE["Deployment"]["spec"]["template"]
(CONTAINER,) = POD["spec"]["containers"]


def test_every_manifest_selects_the_same_pods() -> None:
    label = {"app.kubernetes.io/name": "velum"}
    assert POD["metadata"]["labels"] == label
    assert SINGLE["Service"]["spec"]["selector"] == label
    for kind, key in (
        ("Deployment", "selector"),
        ("PodDisruptionBudget", "selector"),
        ("NetworkPolicy", "podSelector"),
    ):
        assert SINGLE[kind]["spec"][key] == {"matchLabels": label}


def test_uses_our_image() -> None:
    (image,) = yaml.safe_load((FOLDER / "single/kustomization.yaml").read_text())["images"]
    assert image == {"name": CONTAINER["image"], "newTag": VERSION}


def test_the_pod_has_no_privileges() -> None:
    uid, _, gid = FINAL.last("USER").partition(":")
    assert POD["spec"]["securityContext"] == {
        "runAsNonRoot": True,
        "runAsUser": int(uid),
        "runAsGroup": int(gid),
        "fsGroup": int(gid),
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    assert CONTAINER["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert POD["spec"]["automountServiceAccountToken"] is False
    assert {"cpu", "memory"} == CONTAINER["resources"]["limits"].keys()


@pytest.mark.parametrize(
    "container", [CONTAINER, *SCALED["spec"]["template"]["spec"]["containers"]], ids=["single", "scaled"]
)
def test_every_variable_is_a_setting(container: dict[str, Any]) -> None:
    assert {one["name"] for one in container["env"]} <= variables().keys()


def test_probes_call_existing_endpoints() -> None:
    (port,) = CONTAINER["ports"]
    assert str(port["containerPort"]) == FINAL.last("EXPOSE")
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        assert CONTAINER[probe]["httpGet"]["port"] == port["name"]
    assert CONTAINER["livenessProbe"]["httpGet"]["path"] in FINAL.listed("HEALTHCHECK")[-1]
    assert SINGLE["Service"]["spec"]["ports"][0]["targetPort"] == port["name"]


def test_mounts_only_existing_volumes() -> None:
    assert {one["name"] for one in CONTAINER["volumeMounts"]} == {one["name"] for one in POD["spec"]["volumes"]}
    claim = POD["spec"]["volumes"][0]["persistentVolumeClaim"]["claimName"]
    assert SINGLE["PersistentVolumeClaim"]["metadata"]["name"] == claim
    writable = [one["mountPath"] for one in CONTAINER["volumeMounts"]]
    for name in ("VELUM_BMW_FOLDER", "VELUM_BMW_VIDEOS"):
        (value,) = (one["value"] for one in CONTAINER["env"] if one["name"] == name)
        assert value.startswith(f"{writable[0]}/")


def test_network_policies_allow_only_named_pods() -> None:
    policy = SINGLE["NetworkPolicy"]["spec"]
    assert set(policy["policyTypes"]) == {"Ingress", "Egress"}
    assert all(rule["to"] for rule in policy["egress"])
    assert not any("ipBlock" in peer for rule in policy["egress"] for peer in rule["to"])
    assert all(rule["from"] and rule["ports"] for rule in policy["ingress"])


def test_scaled_pods_share_no_state() -> None:
    more = {one["kind"]: one for one in kubernetes("scaled")}
    assert more.keys() == SINGLE.keys() | {"HorizontalPodAutoscaler"}
    assert more["HorizontalPodAutoscaler"]["spec"]["scaleTargetRef"]["name"] == SINGLE["Deployment"]["metadata"]["name"]
    kustomization = yaml.safe_load((FOLDER / "scaled/kustomization.yaml").read_text())
    (made,) = kustomization["configMapGenerator"]
    assert all(isinstance(json.loads((FOLDER / "scaled" / file).read_text())["urls"], list) for file in made["files"])
    spec = SCALED["spec"]["template"]["spec"]
    (data, listed) = spec["volumes"]
    assert data["persistentVolumeClaim"] is None
    assert listed["configMap"]["name"] == made["name"]
    (mount,) = spec["containers"][0]["volumeMounts"]
    assert {"name": "VELUM_BMW_FOLDER", "value": mount["mountPath"]} in spec["containers"][0]["env"]
    assert mount["readOnly"]
