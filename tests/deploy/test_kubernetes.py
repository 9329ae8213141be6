"""The manifests agree with the image and the settings, and give velum no needless privileges."""

import inspect
import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.deploy.reading import ROOT, VERSION, kubernetes, stages

from velum.cli import batch
from velum.plan import Plan
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


LISTS, HIDES = kubernetes("batch")


@pytest.mark.parametrize("job", [LISTS, HIDES], ids=["list", "hide"])
def test_batch_jobs_run_one_command_on_one_place(job: dict[str, Any]) -> None:
    room = FOLDER / "batch"
    kustomization = yaml.safe_load((room / "kustomization.yaml").read_text())
    assert kustomization["images"] == [{"name": CONTAINER["image"], "newTag": VERSION}]
    spec = job["spec"]["template"]["spec"]
    assert spec["securityContext"] == POD["spec"]["securityContext"]
    (container,) = spec["containers"]
    assert container["securityContext"] == CONTAINER["securityContext"]
    assert {one["name"] for one in container["volumeMounts"]} == {one["name"] for one in spec["volumes"]}
    places, plans = kustomization["configMapGenerator"]
    assert container["envFrom"] == [{"configMapRef": {"name": places["name"]}}]
    assert spec["volumes"][0]["configMap"]["name"] == plans["name"]
    assert Plan.from_toml((room / plans["files"][0]).read_text()).rules
    assert container["args"][:6] == ["batch", "$(SOURCE)", "-o", "$(RESULTS)", "--plan", "/plan/plan.toml"]
    assert {"SOURCE", "RESULTS"} < {literal.partition("=")[0] for literal in places["literals"]}
    assert spec["restartPolicy"] == "Never"


def test_pods_of_a_batch_share_all_shards() -> None:
    spec = HIDES["spec"]
    args = spec["template"]["spec"]["containers"][0]["args"]
    assert spec["completionMode"] == "Indexed"
    assert int(args[args.index("--shards") + 1]) == spec["completions"] >= spec["parallelism"]
    assert "--list" in LISTS["spec"]["template"]["spec"]["containers"][0]["args"]
    requests = spec["template"]["spec"]["containers"][0]["resources"]["requests"]
    assert args[args.index("--workers") + 1] == requests["cpu"]


def test_commands_of_batch_jobs_are_known_to_the_command_line() -> None:
    run = batch.app.registered_commands[0]
    assert run.callback is batch.run
    options = {word for job in (LISTS, HIDES) for word in job["spec"]["template"]["spec"]["containers"][0]["args"]}
    known = Path(inspect.getsourcefile(batch) or "").read_text()
    assert all(f'"{word}"' in known for word in options if word.startswith("--") and word != "--plan")
