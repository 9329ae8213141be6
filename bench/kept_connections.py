"""Time of a call over a kept connection to a server that sends the head and the body of its response in two pieces.

    python -m bench.kept_connections

Many servers do, and the system holds the second piece back until the first one is acknowledged. With and without the
option by which velum acknowledges at once, in turn; medians. The server is in this process and answers at once.
"""

import socketserver
import statistics
import threading
import time

from velum.net import ANYWHERE, backend
from velum.net.client import HttpClient

ROUNDS, WARM, BYTES = 60, 10, 100_000
ANSWER = b'{"data": {"bounding-boxes": []}, "error": "", "success": true}'


class _TwoPieces(socketserver.StreamRequestHandler):
    disable_nagle_algorithm = False

    def handle(self) -> None:
        while self.rfile.readline():
            length = 0
            while line := self.rfile.readline().strip():
                name, _, value = line.partition(b":")
                length = int(value) if name.lower() == b"content-length" else length
            self.rfile.read(length)
            head = f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {len(ANSWER)}\r\n\r\n"
            self.request.sendall(head.encode())
            self.request.sendall(ANSWER)


def main() -> None:
    option = backend.QUICK_ACKNOWLEDGEMENT
    took: dict[str, list[float]] = {"at once": [], "as the system likes": []}
    clients = {how: HttpClient(ANYWHERE) for how in took}
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), _TwoPieces) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_address[1]}/"
        for _ in range(ROUNDS + WARM):
            for how, client in clients.items():
                backend.QUICK_ACKNOWLEDGEMENT = option if how == "at once" else None
                start = time.perf_counter()
                client.post_body(url, bytes(BYTES), {})
                took[how].append(1e3 * (time.perf_counter() - start))
        for client in clients.values():
            client.close()
        server.shutdown()
    print("| acknowledged | median, ms | least, ms |\n|---|--:|--:|")
    for how, times in took.items():
        print(f"| {how} | {statistics.median(times[WARM:]):.1f} | {min(times[WARM:]):.1f} |")


if __name__ == "__main__":
    main()
