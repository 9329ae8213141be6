"""`velum check` on the command line."""

import json

from PIL import Image
from tests.cli.conftest import Command


def test_check_goes_through_several_files_and_ends_with_1_where_one_leaks(velum_command: Command) -> None:
    folder = velum_command.folder
    for name, keeps in (("clean.jpg", False), ("tagged.jpg", True)):
        exif = Image.Exif()
        exif[0x010E] = "Jane" if keeps else ""
        Image.new("RGB", (64, 64)).save(folder / name, exif=exif if keeps else b"")
    (folder / "broken.jpg").write_bytes(b"nothing")
    rule = ("--rule", "zone: fixed(box=[0, 0, 16, 16]) -> blacken with grow=0", "--json")
    leaking = velum_command("check", "clean.jpg", "broken.jpg", "tagged.jpg", *rule, code=1)
    assert [json.loads(line)["file"] for line in leaking.stdout.splitlines()] == ["clean.jpg", "tagged.jpg"]
    assert "broken.jpg" in leaking.stderr
    velum_command("check", "clean.jpg", "broken.jpg", *rule, code=3)
    velum_command("check", "clean.jpg", "clean.jpg", *rule)
    refused = velum_command("check", "clean.jpg", "tagged.jpg", "--against", "clean.jpg", *rule, code=2)
    assert "--against belongs to one file, and 2 are named" in " ".join(refused.stderr.replace("│", "").split())
