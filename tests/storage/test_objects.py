"""Objects under keys of others: folders, stores in memory, and a bucket behave alike."""

import json
import secrets
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from tests.storage.fake_s3 import S3

from velum.errors import BadInput, BadPlan, OutputFailed, Unavailable
from velum.storage import objects
from velum.storage.objects import ObjectChanged, ObjectGone, ObjectTree, open_tree

obstore = pytest.importorskip("obstore", reason="the extra cloud is not installed")


@pytest.fixture(params=["folder", "memory"])
def tree(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectTree:
    """An empty tree of each kind."""
    return open_tree(str(tmp_path) if request.param == "folder" else f"memory://{secrets.token_hex(4)}")


KEYS = [
    "a-b.jpg",
    "a.jpg",
    "a/b.jpg",
    "a/ü ?*[x]#%.png",
    "a0",
    "b/100%25/~{}|^`.jpg",
    "z\N{FACE WITH TEARS OF JOY}.mp4",
]


def test_keys_of_any_characters_are_listed_in_order(tree: ObjectTree) -> None:
    for key in KEYS:
        assert tree.put_new(key, key.encode())
    assert [found.key for found in tree.list()] == sorted(KEYS)
    assert [found.key for found in tree.list("a")] == ["a/b.jpg", "a/ü ?*[x]#%.png"]
    assert all(tree.read(key) == key.encode() for key in KEYS)


def test_a_new_object_is_written_once(tree: ObjectTree) -> None:
    assert tree.put_new("done/1", b"first")
    assert not tree.put_new("done/1", b"second")
    assert tree.read("done/1") == b"first"
    tree.delete("done/1")
    tree.delete("done/1")
    with pytest.raises(ObjectGone):
        tree.read("done/1")


def test_a_file_replaces_another_with_its_metadata(tree: ObjectTree, tmp_path_factory: Path) -> None:
    file = tmp_path_factory.mktemp("scratch") / "result"  # type: ignore[attr-defined]
    for content in (b"one", b"twice"):
        file.write_bytes(content)
        tree.put_file("a/b.jpg", file, {"velumplan": content.decode()})
    assert tree.read("a/b.jpg") == b"twice"
    assert tree.metadata("a/b.jpg").get("velumplan", "twice") == "twice"  # a file system may have no attributes
    assert tree.metadata("nothing.jpg") == {}


def test_an_object_that_changes_is_not_read(tree: ObjectTree, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("scratch")
    tree.put_new("a.jpg", b"x" * 9_000_000)
    found = tree.head("a.jpg")
    tree.fetch(found, folder / "same")
    assert (folder / "same").stat().st_size == 9_000_000
    (folder / "other").write_bytes(b"other")
    tree.put_file("a.jpg", folder / "other", {})
    with pytest.raises(ObjectChanged):
        tree.fetch(found, folder / "changed")
    tree.delete("a.jpg")
    with pytest.raises(ObjectGone):
        tree.fetch(found, folder / "gone")


def test_links_to_folders_are_not_followed(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"1")
    (tmp_path / "loop").symlink_to(tmp_path)
    found = list(open_tree(f"file://{tmp_path}").list())
    assert [(info.key, info.fault.partition(";")[0]) for info in found] == [("a.jpg", ""), ("loop", "link to a folder")]


def test_a_name_that_is_not_utf_8_is_listed_with_its_fault(tmp_path: Path) -> None:
    for name in ("a.jpg", "caf\udce9.jpg", "\udcff/b.jpg", "z.jpg"):
        path = Path(f"{tmp_path}/{name}")
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"12")
    found = list(open_tree(str(tmp_path)).list())
    assert [(info.key, info.size) for info in found] == [
        ("\\xff/b.jpg", 2), ("a.jpg", 2), ("caf\\xe9.jpg", 2), ("z.jpg", 2),
    ]  # fmt: skip
    assert [bool(info.fault) for info in found] == [True, False, True, False]
    assert "not UTF-8; rename it" in found[0].fault


def test_a_folder_with_more_files_than_fit_in_memory_is_listed_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(objects, "SORTED_IN_MEMORY", 3)
    names = ["b", "B.jpg", "a\nb", "ü", "z z", "\x7f", "0", "c-d", "c/e", "c.f", "caf\udce9", "caf\udce9/g"]
    names = [f"{name}.jpg" for name in names]
    for name in names:
        path = Path(f"{tmp_path}/{name}")
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"1")
    listed = [found.key for found in open_tree(str(tmp_path)).list()]
    assert len(listed) == len(names)
    assert listed == sorted(listed)


@pytest.mark.parametrize(
    "key", ["../up.jpg", "/lead.jpg", "a//b.jpg", "./dot.jpg", "a/../b.jpg", "dir.jpg/", "a\0b.jpg"]
)
@pytest.mark.parametrize("kind", ["folder", "memory"])
def test_keys_that_a_store_cannot_name_are_refused(tmp_path: Path, kind: str, key: str) -> None:
    (tmp_path / "out").mkdir()
    tree = open_tree(str(tmp_path / "out") if kind == "folder" else f"memory://{secrets.token_hex(4)}")
    (tmp_path / "result").write_bytes(b"1")
    with pytest.raises(BadInput, match="rename the"):
        tree.put_file(key, tmp_path / "result", {})
    with pytest.raises(ObjectGone):
        tree.head(key)
    assert tree.metadata(key) == {}
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["out", "result"]


def test_a_missing_or_unwritable_folder_is_reported(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="does not exist"):
        list(open_tree(str(tmp_path / "nothing")).list())
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OutputFailed, match="check that it may be written"):
        open_tree(str(tmp_path / "file")).put_new("a/b", b"")


@pytest.mark.parametrize("key", ["a.jpg/b.jpg", "x", f"{'ü' * 130}.jpg", f"{'y' * 300}/b.jpg"])
def test_keys_that_are_impossible_file_names_are_refused_in_folders(tmp_path: Path, key: str) -> None:
    tree = open_tree(str(tmp_path / "out"))
    (tmp_path / "result").write_bytes(b"1")
    tree.put_file("a.jpg", tmp_path / "result", {})
    tree.put_file("x/y.jpg", tmp_path / "result", {})
    with pytest.raises(BadInput, match="cannot be a file in .*; write to a bucket, or rename the source"):
        tree.put_file(key, tmp_path / "result", {})
    assert sorted(found.key for found in tree.list()) == ["a.jpg", "x/y.jpg"]


def test_an_unreachable_or_missing_bucket_is_reported(bucket: S3) -> None:
    bucket.objects["in/a.jpg"] = b"1"
    assert [found.key for found in open_tree("s3://faces/in").list()] == ["a.jpg"]
    with pytest.raises(Unavailable, match="cannot list s3://others.*NoSuchBucket"):
        list(open_tree("s3://others/in").list())
    with pytest.raises(OutputFailed, match="cannot write 'b.jpg' in s3://others"):
        open_tree("s3://others").put_new("b.jpg", b"")


def test_credentials_without_the_needed_rights_are_reported(bucket: S3) -> None:
    bucket.objects["in/a.jpg"] = b"1"
    bucket.denied = frozenset({"list", "GET", "PUT"})
    tree = open_tree("s3://faces/in")
    with pytest.raises(Unavailable, match="cannot list s3://faces/in: .*; give the credentials the right to list"):
        list(tree.list())
    with pytest.raises(Unavailable, match="cannot read s3://faces/in: .*; give the credentials the right to read"):
        tree.read("a.jpg")
    with pytest.raises(OutputFailed, match="cannot write 'b.jpg' in s3://faces/in: .*AccessDenied.*the right to write"):
        tree.put_new("b.jpg", b"")
    bucket.denied = frozenset({"DELETE"})
    with pytest.raises(OutputFailed, match="cannot delete 'a.jpg' in s3://faces/in: .*the right to delete"):
        tree.delete("a.jpg")


def test_a_machine_whose_clock_is_wrong_is_told_so(bucket: S3) -> None:
    bucket.denied, bucket.code = frozenset({"list", "PUT"}), "RequestTimeTooSkewed"
    tree = open_tree("s3://faces/in")
    with pytest.raises(Unavailable, match="cannot list .*RequestTimeTooSkewed.*; set the clock of this machine"):
        list(tree.list())
    with pytest.raises(OutputFailed, match="cannot write .*RequestTimeTooSkewed.*; set the clock of this machine"):
        tree.put_new("b.jpg", b"")


@pytest.mark.parametrize("url", ["memory://", "memory://a/b", "http://bucket/", "s3:///x"])
def test_malformed_urls_are_refused(url: str) -> None:
    with pytest.raises(BadPlan, match="write"):
        open_tree(url)


class OneObject(BaseHTTPRequestHandler):
    """One object of Azure, or of a store like that of Google: its ETag has quotes in headers and none in the list."""

    def do_GET(self) -> None:
        if "list-type=2" in self.path:
            contents = (
                "<Contents><Key>a.jpg</Key><LastModified>2026-11-30T10:00:00Z</LastModified><ETag>0x8DC1</ETag>"
                "<Size>4</Size></Contents>"
            )
            self.answer(f"<ListBucketResult>{contents}</ListBucketResult>".encode())
            return
        blob = (
            "<Blob><Name>a.jpg</Name><Properties><Last-Modified>Mon, 30 Nov 2026 10:00:00 GMT</Last-Modified>"
            "<Content-Length>4</Content-Length><Content-Type>image/jpeg</Content-Type><Etag>0x8DC1</Etag></Properties></Blob>"
        )
        self.answer(f"<EnumerationResults><Blobs>{blob}</Blobs><NextMarker/></EnumerationResults>".encode())

    def do_HEAD(self) -> None:
        self.answer(b"JPEG")

    def answer(self, body: bytes) -> None:
        self.send_response(200)
        for name, value in {
            "Content-Length": str(len(body)), "ETag": '"0x8DC1"', "Last-Modified": "Mon, 30 Nov 2026 10:00:00 GMT",
        }.items():  # fmt: skip
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body if self.command == "GET" else b"")

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.mark.parametrize("url", ["az://raw", "gs://raw"])
def test_an_etag_is_the_same_in_the_list_and_of_the_object(
    url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), OneObject) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        monkeypatch.setenv("AZURE_STORAGE_USE_EMULATOR", "true")
        address = f"http://127.0.0.1:{server.server_port}"
        monkeypatch.setenv("AZURITE_BLOB_STORAGE_URL", address)
        account = {"gcs_base_url": address, "disable_oauth": True} | dict.fromkeys(
            ("client_email", "private_key", "private_key_id"), ""
        )
        (tmp_path / "account.json").write_text(json.dumps(account))
        monkeypatch.setenv("GOOGLE_SERVICE_ACCOUNT", str(tmp_path / "account.json"))
        try:
            tree = open_tree(url)
            assert list(tree.list()) == [tree.head("a.jpg")]
        finally:
            server.shutdown()
            thread.join()


def test_a_missing_account_of_azure_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AZURE_STORAGE_ACCOUNT_NAME", "AZURE_STORAGE_ENDPOINT"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(BadPlan, match="set AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY"):
        open_tree("az://raw/in")
