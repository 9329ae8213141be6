"""Content Credentials in finished files: valid, with what was hidden, and without anything of the original."""

import io
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import av
import c2pa
import numpy as np
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from PIL import Image
from typer.testing import CliRunner

from velum import Engine, Limits, Plan
from velum.cli.main import app
from velum.errors import BadInput, BadPlan, OutputFailed
from velum.evidence.c2pa_manifest import SigningCredentials, embed
from velum.file_hash import sha256_of
from velum.plugins import RuntimeConfig
from velum.report import Report
from velum.verify.leak_check import Check

pytestmark = pytest.mark.slow

PLAN = Plan.of("face: fixed(label='face', box=[10, 10, 60, 60]) -> blacken with grow=0")


def certificate(name: str, key: Any, issuer: str, signer: Any, *, authority: bool) -> bytes:
    def named(text: str) -> x509.Name:
        return x509.Name(
            [
                x509.NameAttribute(NameOID.COMMON_NAME, text),
                x509.NameAttribute(NameOID.ORGANIZATION_NAME, "velum tests"),
            ]
        )

    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder().subject_name(named(name)).issuer_name(named(issuer)).public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
        .add_extension(x509.BasicConstraints(authority, None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
        .add_extension(
            x509.KeyUsage(not authority, False, False, False, False, authority, authority, False, False), critical=True
        )
    )  # fmt: skip
    if not authority:
        made = made.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]), critical=False)
    algorithm = None if isinstance(signer, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    return made.sign(signer, algorithm).public_bytes(serialization.Encoding.PEM)


def files(folder: Path, key: Any, passphrase: bytes | None = None) -> tuple[Path, Path]:
    """Write a chain for a key, and the key."""
    root = ec.generate_private_key(ec.SECP256R1())
    chain, secret = folder / "chain.pem", folder / "key.pem"
    leaf = certificate("leaf", key, "root", root, authority=False)
    chain.write_bytes(leaf + certificate("root", root, "root", root, authority=True))
    lock = serialization.BestAvailableEncryption(passphrase) if passphrase else serialization.NoEncryption()
    secret.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, lock))
    return chain, secret


@pytest.fixture
def credentials(tmp_path: Path) -> SigningCredentials:
    return SigningCredentials.read(*files(tmp_path, ec.generate_private_key(ec.SECP256R1())))


def source(folder: Path, suffix: str) -> Path:
    path = folder / f"source{suffix}"
    pixels = np.random.default_rng(0).integers(0, 256, (96, 128, 3), np.uint8)
    if suffix in {".mp4", ".mov", ".mkv", ".avi"}:
        with av.open(str(path), "w") as container:
            stream = container.add_stream("libx264", 25)
            stream.width, stream.height, stream.pix_fmt = 128, 96, "yuv420p"
            for _ in range(3):
                container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, "rgb24")))
            container.mux(stream.encode(None))
    elif suffix == ".heic":
        heif = pytest.importorskip("pillow_heif", reason="the extra heif is not installed")
        heif.from_pillow(Image.fromarray(pixels)).save(path)
    else:
        Image.fromarray(pixels).save(path)
    return path


def hidden(folder: Path, suffix: str) -> tuple[Path, Report]:
    out = folder / f"out{suffix}"
    with Engine() as engine:
        return out, engine.hide(source(folder, suffix), out, PLAN)


def leaks(file: Path) -> list[str]:
    host = RuntimeConfig(offline=True)
    with Engine(host=host) as engine:
        return [leak.kind for leak in Check(engine, host, Limits())(file, PLAN).leaks]


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tif", ".avif", ".heic", ".gif", ".mp4", ".mov"])
def test_writes_a_valid_manifest_without_a_thumbnail(
    tmp_path: Path, credentials: SigningCredentials, suffix: str
) -> None:
    out, report = hidden(tmp_path, suffix)
    signed = tmp_path / f"signed{suffix}"
    told = embed(out, signed, report, credentials)
    assert (told.target, told.output_sha256) == (str(signed), sha256_of(signed))
    assert sha256_of(out) == report.output_sha256, "the file itself stays as it is"
    reader = c2pa.Reader(str(signed))
    assert reader.get_validation_state() == "Valid"
    manifest = json.loads(reader.json())["manifests"]
    ((_, active),) = manifest.items()
    text = json.dumps(manifest)
    assert "thumbnail" not in text
    assert str(tmp_path) not in text
    (told_of,) = [one["data"] for one in active["assertions"] if one["label"].startswith("c2pa.actions")]
    (opened, edited) = told_of["actions"]
    assert (opened["action"], edited["action"]) == ("c2pa.opened", "c2pa.edited")
    assert edited["parameters"]["org.velum.hidden"] == [{"label": "face", "technique": "blacken", "count": 1}]
    assert edited["description"] == "Hidden to protect people: 1 of label face."
    assert [one["relationship"] for one in active["ingredients"]] == ["parentOf"]
    assert leaks(signed) == []
    if suffix not in {".jpg", ".png"}:
        assert b"\xff\xd8\xff" not in signed.read_bytes(), "no JPEG anywhere"
    with Engine() as engine:
        again = tmp_path / f"again{suffix}"
        engine.hide(signed, again, PLAN)
    assert b"c2pa" not in again.read_bytes(), "what comes in signed goes out without its manifest"


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".mp4"])
def test_reports_a_manifest_with_a_thumbnail_as_a_leak(
    tmp_path: Path, credentials: SigningCredentials, suffix: str
) -> None:
    out, _ = hidden(tmp_path, suffix)
    spoiled = tmp_path / f"spoiled{suffix}"
    kinds = {".jpg": "image/jpeg", ".png": "image/png", ".mp4": "video/mp4"}
    info = c2pa.C2paSignerInfo(
        alg=credentials.algorithm, sign_cert=credentials.chain, private_key=credentials.key, ta_url=None
    )
    builder = c2pa.Builder({"claim_generator_info": [{"name": "other"}], "title": "x", "assertions": []})
    original = io.BytesIO(source(tmp_path, ".jpg").read_bytes())
    builder.add_ingredient({"title": "original", "relationship": "parentOf"}, "image/jpeg", original)
    builder.set_intent(c2pa.C2paBuilderIntent.EDIT)
    with c2pa.Signer.from_info(info) as signer, out.open("rb") as before, spoiled.open("w+b") as after:
        builder.sign(signer, kinds[suffix], before, after)
    assert "picture" in leaks(spoiled)


@pytest.mark.parametrize("key", ["P-384", "RSA", "Ed25519", "locked"])
def test_signs_with_each_kind_of_key(tmp_path: Path, key: str) -> None:
    makers: dict[str, Callable[[], Any]] = {
        "P-384": lambda: ec.generate_private_key(ec.SECP384R1()),
        "RSA": lambda: rsa.generate_private_key(65537, 2048),
        "Ed25519": ed25519.Ed25519PrivateKey.generate,
        "locked": lambda: ec.generate_private_key(ec.SECP256R1()),
    }
    made = makers[key]()
    passphrase = tmp_path / "passphrase"
    passphrase.write_text("secret\nsecond line")
    locked = key == "locked"
    chain, secret = files(tmp_path, made, b"secret" if locked else None)
    out, report = hidden(tmp_path, ".png")
    signed = tmp_path / "signed.png"
    embed(out, signed, report, SigningCredentials.read(chain, secret, passphrase if locked else None))
    assert c2pa.Reader(str(signed)).get_validation_state() == "Valid"
    assert (
        "BEGIN" not in repr(SigningCredentials.read(chain, secret, passphrase if locked else None)).partition("key=")[2]
    )


def test_a_failed_signature_leaves_no_file(tmp_path: Path, credentials: SigningCredentials) -> None:
    out, report = hidden(tmp_path, ".jpg")
    film, of_film = hidden(tmp_path, ".mkv")
    with pytest.raises(BadPlan, match=r"MKV files cannot hold Content Credentials.*velum evidence create"):
        embed(film, tmp_path / "signed.mkv", of_film, credentials)
    with pytest.raises(BadInput, match="not the file"):
        embed(source(tmp_path, ".jpg"), tmp_path / "signed.jpg", report, credentials)
    with pytest.raises(BadInput, match="not the file"):
        embed(out, tmp_path / "signed.jpg", replace(report, output_sha256=None), credentials)
    with pytest.raises(OutputFailed, match="source itself"):
        embed(out, out, report, credentials, overwrite=True)
    once = tmp_path / "once.jpg"
    told = embed(out, once, report, credentials)
    with pytest.raises(BadInput, match="holds Content Credentials already"):
        embed(once, tmp_path / "signed.jpg", told, credentials)
    other = tmp_path / "other"
    other.mkdir()
    _, stranger = files(other, ec.generate_private_key(ec.SECP256R1()))
    with pytest.raises(BadPlan, match="check the certificates"):
        embed(out, tmp_path / "signed.jpg", report, SigningCredentials.read(tmp_path / "chain.pem", stranger))
    for broken in (tmp_path / "missing.pem", tmp_path / "chain.pem"):
        with pytest.raises(BadPlan, match=r"\.pem"):
            SigningCredentials.read(tmp_path / "chain.pem", broken)
    weak = files(other, rsa.generate_private_key(65537, 1024))
    with pytest.raises(BadPlan, match="RSA from 2048"):
        SigningCredentials.read(*weak)
    assert not list(tmp_path.glob("signed*"))
    assert not list(tmp_path.glob(".velum*"))


@pytest.mark.usefixtures("credentials")
def test_embeds_a_manifest_and_creates_evidence_on_the_command_line(tmp_path: Path) -> None:
    out, report = hidden(tmp_path, ".jpg")
    (tmp_path / "report.json").write_text(json.dumps(report.to_json()))
    chain = ("--chain", str(tmp_path / "chain.pem"), "--key", str(tmp_path / "key.pem"))
    done = CliRunner().invoke(app, ["evidence", "embed", str(out), "--report", str(tmp_path / "report.json"), *chain])
    assert done.exit_code == 0, done.output
    signed = tmp_path / "out.c2pa.jpg"
    told = json.loads((tmp_path / "out.c2pa.jpg.report.json").read_text())
    assert told["output_sha256"] == sha256_of(signed)
    signed.unlink()
    again = CliRunner().invoke(app, ["evidence", "embed", str(out), "--report", str(tmp_path / "report.json"), *chain])
    assert isinstance(again.exception, OutputFailed), "the report's place is taken"
    assert not signed.exists()
    (tmp_path / "out.c2pa.jpg.report.json").unlink()
    assert (
        CliRunner()
        .invoke(app, ["evidence", "embed", str(out), "--report", str(tmp_path / "report.json"), *chain])
        .exit_code
        == 0
    )
    told = json.loads((tmp_path / "out.c2pa.jpg.report.json").read_text())
    assert told["output_sha256"] == sha256_of(signed)
    made = CliRunner().invoke(app, ["evidence", "create", str(signed), "--report", f"{signed}.report.json"])
    assert made.exit_code == 0, made.output
    assert json.loads((tmp_path / "out.c2pa.jpg.evidence.json").read_text())["files"][0]["output_sha256"] == sha256_of(
        signed
    )
