"""The service answers any request as its OpenAPI document states."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from tests.rows import exhaustive
from tests.service.factories import on_the_wire
from tests.service.factories import settings as made

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("examples", [2, *exhaustive([20])])
def test_any_request_gets_a_documented_response(tmp_path: Path, examples: int) -> None:
    # Imported where it is used: every process of a parallel run collects this file.
    schemathesis = pytest.importorskip("schemathesis")
    stated = pytest.importorskip("schemathesis.specs.openapi.checks")
    checks = [
        pytest.importorskip("schemathesis.checks").not_a_server_error,
        stated.status_code_conformance,
        stated.content_type_conformance,
        stated.response_schema_conformance,
    ]
    # Bytes as tus calls them.
    schemathesis.serializer.alias("application/offset+octet-stream", "application/octet-stream")
    # Without a model for plates, street pictures take a plan of the operator.
    (tmp_path / "plans").mkdir()
    (tmp_path / "plans" / "zone.toml").write_text('rules = ["zone: fixed -> blacken"]\n')
    chosen = made(tmp_path)
    service = replace(chosen.service, plans=tmp_path / "plans", blur_plan="zone")
    with on_the_wire(replace(chosen, service=service)) as url:
        document = schemathesis.openapi.from_url(f"{url}/openapi.json")
        operations = list(document.get_all_operations())
        assert len(operations) > 50
        for described in operations:
            operation = described.ok()
            assert operation is not None, described

            @settings(max_examples=examples, deadline=None, suppress_health_check=list(HealthCheck), database=None)
            @given(operation.as_strategy())
            def check(case: Any) -> None:
                case.call_and_validate(checks=checks)

            check()
