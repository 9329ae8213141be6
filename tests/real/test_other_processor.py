"""A machine whose processor computes otherwise takes no part in a batch, unless the batch says so."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from velum.errors import Unavailable
from velum.locate import registry
from velum.locate.weights import fetch
from velum.plugins import RuntimeConfig

pq = pytest.importorskip("pyarrow.parquet", reason="the extra batch is not installed")

pytestmark = [pytest.mark.real, pytest.mark.exhaustive]

OLD_PROCESSOR = {"ONEDNN_MAX_CPU_ISA": "SSE41"}
"""oneDNN, which computes for OpenVINO, then uses the instructions of processors before 2011."""


@pytest.mark.parametrize("policy", ["refuse", "mark"])
def test_a_processor_with_other_instructions_is_refused_or_marked(tmp_path: Path, policy: str) -> None:
    try:
        fetch.ensure_local(registry.find("centerface"), RuntimeConfig())
    except Unavailable as error:
        pytest.skip(f"the weights of CenterFace cannot be had: {error}")
    source, target = tmp_path / "in", tmp_path / "out"
    source.mkdir()

    def run(name: str, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
        Image.new("RGB", (64, 64), "white").save(source / name)
        command = [sys.executable, "-m", "velum", "batch", str(source), "-o", str(target), "--workers", "1"]
        return subprocess.run(
            [*command, "--other-arithmetic", policy],
            env=os.environ | environment, capture_output=True, text=True, check=False,
        )  # fmt: skip

    first = run("a.png", {})
    assert first.returncode == 0, first.stderr
    second = run("b.png", OLD_PROCESSOR)
    assert (target / "b.png").exists() is (policy == "mark")
    if policy == "refuse":
        assert second.returncode == 4
        assert "the models give other numbers here" in second.stderr
        return
    assert second.returncode == 0, second.stderr
    outcomes = [row for part in target.glob("_velum/*/done/*/*.parquet") for row in pq.read_table(part).to_pylist()]
    arithmetic = {row["key"]: row["arithmetic"] for row in outcomes}
    assert arithmetic["a.png"] != arithmetic["b.png"]
