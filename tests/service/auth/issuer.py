"""A local OpenID Connect issuer whose keys can change."""

import json
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from joserfc import jwt
from joserfc.jwk import ECKey, RSAKey

AUDIENCE = "velum"
RSA = RSAKey.generate_key(2048, {"kid": "rsa"})
EC = ECKey.generate_key("P-256", {"kid": "ec"})
STRANGER = RSAKey.generate_key(2048, {"kid": "rsa"})


@dataclass
class Issuer:
    url: str
    keys: list[dict[str, Any]] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    status: int = 200

    def claims(self, **changes: Any) -> dict[str, Any]:
        now = int(time.time())
        claims = {"iss": self.url, "aud": AUDIENCE, "sub": "ada", "exp": now + 60, "iat": now, "scope": "anonymize"}
        return {name: value for name, value in (claims | changes).items() if value is not None}

    def token(self, key: RSAKey | ECKey = RSA, header: Mapping[str, Any] | None = None, **changes: Any) -> str:
        said = {"alg": "RS256" if isinstance(key, RSAKey) else "ES256", "kid": key.kid} | dict(header or {})
        said = {name: value for name, value in said.items() if value is not None}
        return jwt.encode(said, self.claims(**changes), key, algorithms=["RS256", "ES256", "RS384"])


@contextmanager
def issuer() -> Iterator[Issuer]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            idp.asked.append(self.path)
            answers = {
                "/.well-known/openid-configuration": {
                    "issuer": idp.url,
                    "jwks_uri": f"{idp.url}/keys",
                },
                "/keys": {"keys": idp.keys},
            }
            body = json.dumps(answers.get(self.path, {})).encode()
            self.send_response(idp.status)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        keys = [RSA.as_dict(private=False), EC.as_dict(private=False)]
        idp = Issuer(f"http://127.0.0.1:{server.server_port}", keys)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield idp
        finally:
            server.shutdown()
            thread.join()
