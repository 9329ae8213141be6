"""A compiled network is cached for the next process, and used only when it is exactly the one that was cached."""

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import openvino as ov
import pytest
from openvino import opset13 as ops
from tests.rows import but_for

from velum.errors import Unavailable
from velum.locate.output_formats import Input
from velum.locate.runtime import compiled_cache, open_network
from velum.plugins import RuntimeConfig

HASH = "sha256:00"
IMAGE = np.random.default_rng(0).integers(1, 256, (8, 16, 3), dtype=np.uint8)


@pytest.fixture
def host(tmp_path: Path) -> RuntimeConfig:
    return RuntimeConfig(precision="f32", threads=1, cache=tmp_path / "cache")


def weights(folder: Path, factor: float = 1) -> Path:
    """Write a network that multiplies its input."""
    given = ops.parameter([1, 3, 8, 8], np.float32, name="picture")
    result = ops.multiply(given, np.float32(factor))
    result.output(0).set_names({"product"})
    path = folder / f"times_{factor:g}.xml"
    ov.save_model(ov.Model([ops.result(result)], [given]), path, compress_to_fp16=False)
    return path


def product(path: Path, host: RuntimeConfig, fingerprint: str = HASH, form: Input | None = None) -> float:
    """Return by how much the network of `path`, or what is kept for it, multiplies."""
    outputs = open_network(path, form or Input(), host, fingerprint).infer(IMAGE)
    assert list(outputs) == ["product"]
    return float(outputs["product"].sum() / IMAGE.sum(dtype=np.float64))


def kept(host: RuntimeConfig) -> list[Path]:
    assert host.cache is not None
    folder = host.cache / "compiled"
    return sorted(folder.iterdir()) if folder.is_dir() else []


def test_a_cached_network_replaces_reading_the_weights_and_is_private_to_the_user(
    tmp_path: Path, host: RuntimeConfig
) -> None:
    assert product(weights(tmp_path, 2), host) == pytest.approx(2)
    (file,) = kept(host)
    assert (file.parent.stat().st_mode & 0o777, file.stat().st_mode & 0o777) == (0o700, 0o600)
    before = open_network(tmp_path / "times_2.xml", Input(), host)
    again = open_network(tmp_path / "gone.xml", Input(), host, HASH)
    assert np.array_equal(again.infer(IMAGE)["product"], before.infer(IMAGE)["product"])
    assert (again.precision, again.runtime) == (before.precision, before.runtime)


@pytest.mark.parametrize(
    ("change", "fingerprint", "form"),
    [
        ({}, "sha256:01", Input()),
        ({}, HASH, Input(mean=(1, 1, 1))),
        ({}, HASH, Input(size_wh=(8, 8))),
        ({"threads": 2}, HASH, Input()),
        ({"precision": "auto"}, HASH, Input()),
        ({"mode": "throughput"}, HASH, Input()),
        ({"compiled_cache": False}, HASH, Input()),
        ({}, "", Input()),
    ],
)
def test_a_cached_network_is_not_used_for_other_weights_or_settings(
    tmp_path: Path, host: RuntimeConfig, change: dict[str, object], fingerprint: str, form: Input
) -> None:
    product(weights(tmp_path), host)
    with pytest.raises(Unavailable, match=r"gone\.xml"):
        open_network(tmp_path / "gone.xml", form, replace(host, **change), fingerprint)  # type: ignore[arg-type]  # fields by name


def test_no_network_is_cached_when_turned_off_or_without_a_hash_of_the_weights(
    tmp_path: Path, host: RuntimeConfig
) -> None:
    product(weights(tmp_path), replace(host, compiled_cache=False))
    product(weights(tmp_path), host, fingerprint="")
    assert kept(host) == []


def flip(place: float) -> Callable[[Path], None]:
    """Flip one bit, at a share of the file's length."""

    def change(file: Path) -> None:
        content = bytearray(file.read_bytes())
        content[int(place * (len(content) - 1))] ^= 4
        file.write_bytes(content)

    return change


def be_another_network(file: Path) -> None:
    """Put the file of another network, as it was kept, in the place of this one."""
    host = RuntimeConfig(precision="f32", threads=1, cache=file.parents[1] / "other")
    product(weights(file.parents[1], 3), host, "sha256:03")
    (other,) = kept(host)
    file.write_bytes(other.read_bytes())


def be_a_link(file: Path) -> None:
    file.rename(file.parents[1] / "elsewhere")
    file.symlink_to(file.parents[1] / "elsewhere")


DAMAGES: dict[str, Callable[[Path], object]] = {
    "a bit of the mark": flip(0),
    "a bit of the hash": flip(0.02),
    "a bit in the middle": flip(0.5),
    "the last bit": flip(1),
    "half of it": lambda file: file.write_bytes(file.read_bytes()[: file.stat().st_size // 2]),
    "its start": lambda file: file.write_bytes(file.read_bytes()[:10]),
    "empty": lambda file: file.write_bytes(b""),
    "more at its end": lambda file: file.write_bytes(file.read_bytes() + b"\0"),
    "another network": be_another_network,
    "a link": be_a_link,
    "others may write to it": lambda file: file.chmod(0o666),
    "its group may write to it": lambda file: file.chmod(0o620),
}


@pytest.mark.parametrize("damage", but_for(DAMAGES, list(DAMAGES)[::3]))
def test_a_damaged_or_foreign_file_is_replaced(tmp_path: Path, host: RuntimeConfig, damage: str) -> None:
    path = weights(tmp_path, 2)
    product(path, host)
    (file,) = kept(host)
    whole = file.read_bytes()
    DAMAGES[damage](file)
    with pytest.raises(Unavailable, match=r"gone\.xml"):
        open_network(tmp_path / "gone.xml", Input(), host, HASH)
    assert product(path, host) == pytest.approx(2)
    assert (kept(host), file.read_bytes()[:25], file.stat().st_mode & 0o777) == ([file], whole[:25], 0o600)
    assert not file.is_symlink()
    assert product(tmp_path / "gone.xml", host) == pytest.approx(2)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root may give files away")
def test_a_file_or_folder_of_another_user_is_not_used(tmp_path: Path, host: RuntimeConfig) -> None:
    path = weights(tmp_path)
    product(path, host)
    (file,) = kept(host)
    os.chown(file, 4321, -1)
    with pytest.raises(Unavailable):
        open_network(tmp_path / "gone.xml", Input(), host, HASH)
    os.chown(file, 0, -1)
    assert product(tmp_path / "gone.xml", host) == pytest.approx(1)
    os.chown(file.parent, 4321, -1)
    with pytest.raises(Unavailable):
        open_network(tmp_path / "gone.xml", Input(), host, HASH)


def test_a_folder_that_others_may_write_to_is_left_alone(tmp_path: Path, host: RuntimeConfig) -> None:
    path = weights(tmp_path)
    product(path, host)
    kept(host)[0].parent.chmod(0o777)
    with pytest.raises(Unavailable):
        open_network(tmp_path / "gone.xml", Input(), host, HASH)
    assert product(path, host, "sha256:04") == pytest.approx(1)
    assert len(kept(host)) == 1


def test_a_folder_that_cannot_be_written_to_is_no_error(tmp_path: Path, host: RuntimeConfig) -> None:
    (tmp_path / "cache").write_text("a file where the folder should be")
    assert product(weights(tmp_path), host) == pytest.approx(1)


def test_the_cache_is_bounded_and_keeps_the_most_recently_used_files(
    tmp_path: Path, host: RuntimeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compiled_cache, "MOST_FILES", 3)
    path = weights(tmp_path)
    files: list[Path] = []
    for number in range(3):
        product(path, host, f"sha256:{number}")
        (new,) = set(kept(host)) - set(files)
        files.append(new)
        os.utime(new, (1000 + number, 1000 + number))
    (files[0].parent / ".velum-of-a-killed-process.part").write_bytes(b"half")
    os.utime(files[0].parent / ".velum-of-a-killed-process.part", (999, 999))
    product(path, host, "sha256:0")  # used again
    product(path, host, "sha256:3")
    left = kept(host)
    assert (len(left), files[0] in left, files[1] in left, files[2] in left) == (3, True, False, True)
    monkeypatch.setattr(compiled_cache, "MOST_BYTES", left[0].stat().st_size + 9)
    product(path, host, "sha256:5")
    assert len(kept(host)) == 1
    monkeypatch.setattr(compiled_cache, "MOST_BYTES", 9)
    product(path, replace(host, cache=tmp_path / "small"), "sha256:6")
    assert kept(replace(host, cache=tmp_path / "small")) == []


def test_a_network_for_many_sizes_gives_the_same_from_the_cache(tmp_path: Path, host: RuntimeConfig) -> None:
    """In throughput mode some sizes get a network of their own, made from the weights."""
    many = replace(host, mode="throughput", threads=2)
    path = weights(tmp_path, 2)
    product(path, many)
    sizes = [(256, 256), (8, 8), (256, 288), (320, 256), (8, 8)]
    images = [np.full((*size, 3), 7, np.uint8) for size in sizes]
    for outputs in open_network(path, Input(), many, HASH).infer_many(images):
        assert (outputs["product"] == 14).all()
