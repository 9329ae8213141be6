"""The Helm chart agrees with the manifests; its alerts and its dashboard ask for metrics that exist."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.deploy.reading import ROOT, VERSION, kubernetes

from velum.service.metrics import Metrics
from velum.settings import variables

CHART = ROOT / "deploy/helm/velum"
ALERTS, DASHBOARD = CHART / "files/alerts.yaml", CHART / "files/dashboard.json"
SHARED = ("settings.VELUM_JOBS_DATABASE=postgresql://db/velum", "settings.VELUM_JOBS_STORE=s3://bucket/velum")

needs_helm = pytest.mark.skipif(shutil.which("helm") is None, reason="helm is not installed")


def helm(command: str, *values: str) -> subprocess.CompletedProcess[str]:
    options = [word for value in values for word in ("--set", value)]
    return subprocess.run(["helm", *command.split(), str(CHART), *options], capture_output=True, text=True, check=False)


def render(*values: str) -> dict[str, list[dict[str, Any]]]:
    """Resources by kind."""
    done = helm("template velum", *values)
    assert done.returncode == 0, done.stderr
    found: dict[str, list[dict[str, Any]]] = {}
    for resource in yaml.safe_load_all(done.stdout):
        found.setdefault(resource["kind"], []).append(resource)
    return found


def figures_of_the_service(folder: Path) -> set[str]:
    class NoJobs:
        def counts(self) -> dict[str, int]:
            return {"waiting": 0}

        def longest_wait_seconds(self) -> float:
            return 0.0

    metrics = Metrics(NoJobs())
    metrics.watch(lambda: True, {"jobs": folder})
    lines = re.findall(r"^# TYPE (\S+) (\S+)$", metrics.text().decode(), re.MULTILINE)
    histograms = {f"{name}_bucket" for name, kind in lines if kind == "histogram"}
    return {name for name, _ in lines} | histograms


def expressions() -> list[str]:
    rules = [rule for group in yaml.safe_load(ALERTS.read_text())["groups"] for rule in group["rules"]]
    panels = json.loads(DASHBOARD.read_text())["panels"]
    return [rule["expr"] for rule in rules] + [target["expr"] for panel in panels for target in panel["targets"]]


def test_alerts_and_dashboard_ask_for_metrics_that_exist(tmp_path: Path) -> None:
    asked = {name for text in expressions() for name in re.findall(r"\b(?:velum|process)_\w+", text)}
    assert asked
    assert asked <= figures_of_the_service(tmp_path)


def test_panels_do_not_overlap() -> None:
    places = [panel["gridPos"] for panel in json.loads(DASHBOARD.read_text())["panels"]]
    cells = [
        (x, y) for at in places for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])
    ]
    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) < 24


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool (Prometheus) is not installed")
def test_each_alert_fires_only_when_it_should(tmp_path: Path) -> None:
    cases = Path(__file__).with_name("alerts.yaml").read_text()
    (tmp_path / "cases.yaml").write_text(cases.replace("RULES", str(ALERTS)))
    done = subprocess.run(
        ["promtool", "test", "rules", str(tmp_path / "cases.yaml")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_chart_has_the_version_of_the_program() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert chart["version"] == chart["appVersion"] == VERSION


@needs_helm
@pytest.mark.parametrize(
    "values",
    [
        (),
        ("monitoring.enabled=true", "ingress.host=velum.example", "ingress.tlsSecret=tls"),
        (*SHARED, "replicas=2", "workers=3", "monitoring.enabled=true", "network.restrict=false"),
    ],
    ids=["defaults", "ingress", "workers"],
)
def test_the_chart_passes_the_strict_linter(values: tuple[str, ...]) -> None:
    done = helm("lint --strict", *values)
    assert done.returncode == 0, done.stdout


@needs_helm
def test_the_pod_is_the_one_of_the_manifests() -> None:
    plain = {resource["kind"]: resource for resource in kubernetes("single")}
    chart = render()
    pods = [found["spec"]["template"]["spec"] for found in (plain["Deployment"], chart["Deployment"][0])]
    for key in ("securityContext", "automountServiceAccountToken", "terminationGracePeriodSeconds"):
        assert pods[0][key] == pods[1][key]
    (ours,), (theirs,) = (pod["containers"] for pod in pods)
    for key in ("securityContext", "resources", "startupProbe", "livenessProbe", "readinessProbe", "volumeMounts"):
        assert ours[key] == theirs[key]
    assert [variable for variable in theirs["env"] if variable in ours["env"]] == ours["env"]
    assert {variable["name"] for variable in theirs["env"]} <= variables().keys()
    assert theirs["image"] == f"velum:{VERSION}"
    assert chart["Deployment"][0]["spec"]["strategy"] == {"type": "Recreate"}
    assert chart["PersistentVolumeClaim"][0]["spec"]["resources"] == plain["PersistentVolumeClaim"]["spec"]["resources"]


@needs_helm
def test_workers_share_the_database_and_the_store_and_nothing_else() -> None:
    chart = render(*SHARED, "workers=3", "monitoring.enabled=true")
    service, worker = sorted(chart["Deployment"], key=lambda found: str(found["metadata"]["name"]))
    assert (service["spec"]["replicas"], worker["spec"]["replicas"]) == (1, 3)
    (container,) = worker["spec"]["template"]["spec"]["containers"]
    assert container["args"] == ["worker", "--metrics", "0.0.0.0:9464"]
    variables_set = {variable["name"]: variable.get("value") for variable in container["env"]}
    assert variables_set["VELUM_JOBS_IN_PROCESS"] == "false"
    assert variables_set["VELUM_JOBS_STORE"] == "s3://bucket/velum"
    assert "PersistentVolumeClaim" not in chart
    assert chart["PodMonitor"][0]["spec"]["selector"]["matchLabels"] == worker["spec"]["selector"]["matchLabels"]
    assert chart["PrometheusRule"][0]["spec"] == yaml.safe_load(ALERTS.read_text())
    dashboards = [found for found in chart["ConfigMap"] if "velum.json" in found["data"]]
    assert json.loads(dashboards[0]["data"]["velum.json"]) == json.loads(DASHBOARD.read_text())


@needs_helm
def test_keys_come_from_a_secret_that_is_mounted() -> None:
    pod = render("keysSecret=velum-keys")["Deployment"][0]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    (path,) = (found["value"] for found in container["env"] if found["name"] == "VELUM_ACCESS_KEYS")
    (mount,) = (found for found in container["volumeMounts"] if path.startswith(found["mountPath"] + "/"))
    assert {"name": mount["name"], "secret": {"secretName": "velum-keys"}} in pod["volumes"]


@needs_helm
@pytest.mark.parametrize(
    ("values", "why"),
    [
        (("workers=1",), "need one database"),
        (("replicas=2",), "need one database"),
        ((*SHARED[:1], "workers=1"), "need one store"),
        (("workers=1", "secretHasDatabase=true"), "settingsSecret names no secret"),
    ],
)
def test_several_pods_without_shared_storage_are_refused(values: tuple[str, ...], why: str) -> None:
    done = helm("template velum", *values)
    assert done.returncode != 0
    assert why in done.stderr
