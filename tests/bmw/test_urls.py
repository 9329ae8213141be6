"""The list of inference APIs: the file of the original, changed safely."""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from velum.bmw import wire
from velum.bmw.schema import RequestRefused
from velum.bmw.urls import MOST, Urls
from velum.errors import LimitExceeded, OutputFailed


def written(folder: Path, text: str) -> Path:
    file = folder / "url_configuration.json"
    file.write_text(text)
    return file


def test_writes_the_file_as_the_original_does(tmp_path: Path) -> None:
    urls = Urls(tmp_path / "jsonFiles")
    assert urls.content() == {"urls": []}
    assert not (tmp_path / "jsonFiles").exists(), "reading creates nothing"
    assert urls.add("http://a:80/")
    assert urls.add("http://b:80/")
    assert not urls.add("http://a:80/")
    assert urls.all() == ("http://a:80/", "http://b:80/")
    urls.remove("http://a:80/")
    assert json.loads((tmp_path / "jsonFiles" / "url_configuration.json").read_text()) == {"urls": ["http://b:80/"]}


def test_keeps_other_keys_of_the_file(tmp_path: Path) -> None:
    file = written(tmp_path, '{"note": 1, "urls": []}')
    Urls(tmp_path).add("http://a/")
    assert json.loads(file.read_text()) == {"note": 1, "urls": ["http://a/"]}


BAD = [
    ("no JSON", "{"), ("no object", "[]"), ("no list", '{"urls": 3}'), ("no texts", '{"urls": [1]}'),
    ("no number of JSON", '{"urls": [NaN]}'),
]  # fmt: skip


@pytest.mark.parametrize("text", [row[1] for row in BAD], ids=[row[0] for row in BAD])
def test_reports_and_keeps_a_corrupt_file(tmp_path: Path, text: str) -> None:
    file, urls = written(tmp_path, text), Urls(tmp_path)
    for change in (urls.add, urls.remove):
        with pytest.raises(RequestRefused) as caught:
            change("http://a/")
        assert str(caught.value) == wire.CORRUPT
    assert file.read_text() == text
    urls.clear()
    assert json.loads(file.read_text()) == {"urls": []}


def test_reads_an_object_without_urls_as_an_empty_list(tmp_path: Path) -> None:
    written(tmp_path, "{}")
    assert Urls(tmp_path).content() == {}
    assert Urls(tmp_path).all() == ()


def test_a_missing_file_is_an_error_only_in_strict_mode(tmp_path: Path) -> None:
    urls = Urls(tmp_path, strict=True)
    for ask in (urls.content, urls.all, lambda: urls.add("http://a/"), lambda: urls.remove("http://a/")):
        with pytest.raises(RequestRefused) as caught:
            ask()
        assert str(caught.value) == wire.NO_FILE
    urls.clear()
    assert urls.content() == {"urls": []}


def test_refuses_to_remove_an_unlisted_address(tmp_path: Path) -> None:
    with pytest.raises(RequestRefused, match=wire.UNKNOWN_ADDRESS):
        Urls(tmp_path).remove("http://a/")


def test_keeps_all_concurrent_changes(tmp_path: Path) -> None:
    wanted = [f"http://{i}/" for i in range(12)]
    with ThreadPoolExecutor(6) as pool:
        assert all(pool.map(lambda url: Urls(tmp_path).add(url), wanted))
    assert set(Urls(tmp_path).all()) == set(wanted)


def test_refuses_addresses_beyond_the_limit(tmp_path: Path) -> None:
    written(tmp_path, json.dumps({"urls": [f"http://{i}/" for i in range(MOST)]}))
    with pytest.raises(LimitExceeded):
        Urls(tmp_path).add("http://one-more/")


def test_reports_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputFailed, match="cannot write"):
        Urls(tmp_path / "file" / "folder").clear()
