"""Hand a picture to a service, at once and as a job.

Start the service in another terminal with `velum serve`, then run this; an address after the command is that of another
service. It needs the extra `remote`.
"""

import sys
from pathlib import Path
from tempfile import mkdtemp

from PIL import Image

from velum import Plan
from velum.client import Client

PLAN = Plan.of("zone: fixed(box=[40, 20, 120, 100]) -> blacken")


def main(folder: Path, server: str) -> list[Path]:
    """Return the two results."""
    photo = folder / "photo.png"
    Image.new("RGB", (160, 120), (210, 210, 210)).save(photo)
    with Client(server) as client:
        at_once = client.hide(photo, folder / "at-once.png", PLAN)
        print("at once:", at_once.labels)

        job = client.wait(client.submit(photo, PLAN))
        print("the job is", job.state)
        result = client.result(job, folder / "from-the-job.png")
    return [folder / "at-once.png", result]


if __name__ == "__main__":
    address = sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:4343"
    print(*main(Path(mkdtemp()), address), sep="\n")
