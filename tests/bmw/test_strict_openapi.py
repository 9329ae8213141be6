"""The OpenAPI document of the strict mode: clients that were generated for the original must work with it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.service.factories import client, settings

FORM = "application/x-www-form-urlencoded"
OPERATIONS = [
    ("/list_urls", "get", "list_urls_list_urls_get", "Configuration", None, []),
    ("/set_url", "post", "set_url_set_url_post", "Configuration", FORM, ["url"]),
    ("/remove_url", "post", "remove_url_remove_url_post", "Configuration", FORM, ["url"]),
    ("/remove_all_urls", "post", "remove_all_urls_remove_all_urls_post", "Configuration", None, []),
    ("/available_methods/", "get", "get_available_methods_available_methods__get", "Configuration", None, []),
    ("/anonymize/", "post", "anonymize_anonymize__post", "Anonymization", "multipart/form-data",
     ["image", "configuration"]),
    ("/anonymize_video/", "post", "anonymize_video_anonymize_video__post", "Anonymization", "multipart/form-data",
     ["video", "configuration"]),
]  # fmt: skip


@pytest.fixture(scope="module")
def document(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    with client(settings(tmp_path_factory.mktemp("strict"), strict=True)) as it:
        yield it.get("/openapi.json").json()


@pytest.mark.parametrize(("path", "method", "identifier", "tag", "kind", "fields"), OPERATIONS)
def test_the_strict_document_has_the_operations_of_the_original(
    document: dict[str, Any], path: str, method: str, identifier: str, tag: str, kind: str | None, fields: list[str]
) -> None:
    ((found, operation),) = document["paths"][path].items()
    assert (found, operation["operationId"], operation["tags"]) == (method, identifier, [tag])
    assert operation["responses"]["200"]["content"] == {"application/json": {"schema": {}}}
    if kind is None:
        assert "requestBody" not in operation
        assert [*operation["responses"]] == ["200"]
        return
    schema = operation["requestBody"]["content"][kind]["schema"]
    assert operation["requestBody"]["required"] is True
    assert schema == {"$ref": f"#/components/schemas/Body_{identifier}"}
    body = document["components"]["schemas"][f"Body_{identifier}"]
    assert body["required"] == fields == [*body["properties"]]
    for name, one in body["properties"].items():
        assert one == {"title": name.title(), "type": "string"} | ({} if name == "url" else {"format": "binary"})
    error = {"$ref": "#/components/schemas/HTTPValidationError"}
    assert operation["responses"]["422"]["content"] == {"application/json": {"schema": error}}


def test_the_strict_document_has_the_version_of_the_original_and_nothing_more(document: dict[str, Any]) -> None:
    assert document["openapi"] == "3.0.2"
    assert (document["info"]["title"], document["info"]["version"]) == ("BMW Anonymization API", "2.0")
    assert [*document["paths"]] == [row[0] for row in OPERATIONS]
    schemas = document["components"]["schemas"]
    bodies = {f"Body_{row[2]}" for row in OPERATIONS if row[4] is not None}
    assert schemas.keys() == bodies | {"HTTPValidationError", "ValidationError"}
    assert schemas["ValidationError"]["required"] == ["loc", "msg", "type"]
    assert schemas["ValidationError"]["properties"]["loc"]["items"] == {"type": "string"}


def test_without_strict_mode_the_document_describes_all_of_velum(tmp_path: Path) -> None:
    with client(settings(tmp_path)) as it:
        assert it.get("/openapi.json").json()["openapi"].startswith("3.1")
