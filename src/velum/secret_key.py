"""The secret behind invented names: UIDs of DICOM, and the characters that are drawn in the place of others."""

import re
import secrets
from pathlib import Path

from platformdirs import user_data_path

from velum.atomic import publish
from velum.errors import OutputFailed, Unavailable

_ADVICE = "name a file of 64 hexadecimal digits in the setting dicom_uid_key, such as 'openssl rand -hex 32' writes"


def read_secret_key(path: Path | None) -> bytes:
    """Return the secret in a file of 64 hexadecimal digits. Without a path, it is made when there is none.

    Raises `Unavailable` where the file cannot be read or made, or holds anything else.
    """
    file = path or user_data_path("velum", appauthor=False) / "dicom-uid-key"
    try:
        if path is None and not file.exists():
            _make(file)
        text = file.read_text(encoding="ascii").strip()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it is no text of hexadecimal digits"
        raise Unavailable(f"cannot read the secret for invented names {file}: {reason}; {_ADVICE}") from error
    if not re.fullmatch(r"[0-9a-fA-F]{64}", text):
        raise Unavailable(
            f"the secret for invented names {file} has {len(text)} characters that are no 64 digits; {_ADVICE}"
        )
    return bytes.fromhex(text)


def _make(file: Path) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    try:
        with publish(file, mode=0o600) as part:
            part.write_text(secrets.token_hex(32), encoding="ascii")
    except OutputFailed:
        if not file.exists():  # another process may have made it meanwhile
            raise
