"""Send the request of the BMW Anonymization API to velum: the same JSON, the same answer.

Start the service in another terminal with `velum serve`, then run this; an address after the command is that of another
service. It needs the extra `remote`. The picture here has no face in it, so it comes back as it was.
"""

import json
import sys
from io import BytesIO
from pathlib import Path
from tempfile import mkdtemp

import httpx2
from PIL import Image

CONFIGURATION = {
    "sensitive_info": [
        {
            "class_name": "face",
            "model_name": "centerface",
            "inference_type": "detection",
            "anonymization_technique": "pixelating",
            "anonymization_degree": 0.2,
        }
    ]
}


def main(folder: Path, server: str) -> Path:
    """Return where the picture is that came back."""
    photo = BytesIO()
    Image.new("RGB", (160, 120), (210, 210, 210)).save(photo, "PNG")
    answer = httpx2.post(
        f"{server}/anonymize/",
        files={
            "image": ("photo.png", photo.getvalue(), "image/png"),
            "configuration": ("configuration.json", json.dumps(CONFIGURATION).encode(), "application/json"),
        },
        timeout=60,
    )
    if not answer.headers["content-type"].startswith("image/"):  # failures have status 200 here, and say why
        sys.exit(answer.json()["error"])
    result = folder / "photo.hidden.png"
    result.write_bytes(answer.content)
    return result


if __name__ == "__main__":
    address = sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:4343"
    print(main(Path(mkdtemp()), address))
