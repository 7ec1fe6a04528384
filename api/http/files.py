"""Files of a folder for browsers: compressed once, with a validator, cached for good at an address with their version.
The modules of a page are sent as one file, and so are those of each worker that they start. A module that starts one
lies at the top, as the address of the worker is relative: `new Worker(new URL("./path.js", import.meta.url), …)`.

| address | cached |
|---|---|
| `/static/{version}/style.css` | for good: another content has another version |
| `/static/style.css`, or with a version of before | looked at anew each time, and sent again only where it changed |
"""

import gzip
import hashlib
import re
from pathlib import Path, PurePosixPath
from typing import Final, NamedTuple, TypeAlias

import structlog
from aiohttp import ETag, hdrs, web

from api.http.bundle import BundleError, bundle, modules_of
from api.http.errors import Problem
from api.http.responses import COMPRESS_BYTES, accepts_gzip
from flows.clock import monotonic_ms

PREFIX: Final = "/static/"
"""Begin of the addresses of the files."""
MEDIA: Final = {
    ".css": "text/css",
    ".html": "text/html",
    ".js": "text/javascript",
    ".mjs": "text/javascript",
    ".svg": "image/svg+xml",
}
"""Content types by suffix, as systems guess different ones; other files of the folder are not served."""
FOR_GOOD: Final = "public, max-age=31536000, immutable"
ANEW: Final = "no-cache"
BUNDLES: Final = "bundle"
"""Folder of the files that are made of the modules of a page."""
LOOK_AGAIN_MS: Final = 500
"""Time after which files are looked at for changes."""
_log = structlog.get_logger(__name__)
_VERSION_LETTERS: Final = 16
_VERSION: Final = re.compile(f"[0-9a-f]{{{_VERSION_LETTERS}}}")

_ENTRY: Final = re.compile(r'<script type="module" src="/static/([^"]+)"></script>')
_WORKER: Final = re.compile(r'\bnew Worker\(new URL\("\./([^"]+)", import\.meta\.url\)')
_PRELOAD: Final = re.compile(r'<link rel="modulepreload" href="/static/([^"]+)">\n?')

_Signature: TypeAlias = tuple[tuple[str, int, int], ...]


class File(NamedTuple):
    """A file as it is sent; `compressed` is empty where that saves nothing."""

    media: str
    body: bytes
    compressed: bytes
    digest: str

    @classmethod
    def of(cls, media: str, body: bytes) -> "File":
        """The file with this content."""
        compressed = gzip.compress(body, mtime=0) if len(body) >= COMPRESS_BYTES else b""
        return cls(media, body, compressed, hashlib.sha256(body).hexdigest()[:_VERSION_LETTERS])


class Files:
    """The files of a folder by their paths, read again soon after one of them changed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._signature: _Signature | None = None
        self._files: dict[str, File] = {}
        self._bodies: dict[str, bytes] = {}
        self._version = ""
        self._read_ms = 0

    def page(self, request: web.Request, name: str, headers: dict[str, str]) -> web.Response:
        """An HTML page whose files have addresses with their version. `KeyError` where it is missing."""
        self._read()
        body = self._bodies[name].replace(f'"{PREFIX}'.encode(), f'"{PREFIX}{self._version}/'.encode())
        return _response(request, File.of(MEDIA[".html"], body), {**headers, hdrs.CACHE_CONTROL: ANEW})

    def file(self, request: web.Request, path: str) -> web.Response:
        """A file by its path, with or without the version before it. `Problem` where it is missing."""
        self._read()
        version, _, rest = path.partition("/")
        found = self._files.get(rest if _VERSION.fullmatch(version) else path)
        if found is None:
            raise Problem("not_found", "there is no such file")
        cached = FOR_GOOD if version == self._version else ANEW
        return _response(request, found, {hdrs.CACHE_CONTROL: cached})

    def _read(self) -> None:
        now_ms = monotonic_ms()
        if self._signature and now_ms < self._read_ms + LOOK_AGAIN_MS:
            return
        self._read_ms = now_ms
        paths = sorted(path for path in self._folder.rglob("*") if path.suffix in MEDIA and path.is_file())
        states = [(path, path.stat()) for path in paths]
        signature = tuple((str(path), state.st_mtime_ns, state.st_size) for path, state in states)
        if signature == self._signature:
            return
        names = [str(PurePosixPath(path.relative_to(self._folder))) for path in paths]
        self._files = {
            name: File.of(MEDIA[path.suffix], path.read_bytes()) for name, path in zip(names, paths, strict=True)
        }
        self._bodies = {name: self._bundled(name) for name in names if name.endswith(".html")}
        parts = "".join(f"{name} {file.digest} " for name, file in self._files.items())
        self._version = hashlib.sha256(parts.encode()).hexdigest()[:_VERSION_LETTERS]
        self._signature = signature

    def _bundled(self, page: str) -> bytes:
        """The page with its modules in one file, which it adds to the files; as it is where they cannot be one."""
        text = self._files[page].body.decode()
        entry = _ENTRY.search(text)
        if not entry:
            return text.encode()
        sources = {name: file.body.decode() for name, file in self._files.items() if name.endswith(".js")}
        try:
            whole, inside = bundle(sources, entry[1]), {*modules_of(sources, entry[1])}
            wholes = {entry[1]: whole, **{worker: bundle(sources, worker) for worker in _WORKER.findall(whole)}}
        except BundleError as error:
            _log.warning("page_not_bundled", page=page, reason=str(error))
            return text.encode()
        made = {f"{BUNDLES}/{name}": File.of(MEDIA[".js"], one.encode()) for name, one in wholes.items()}
        self._files.update(made)
        text = _PRELOAD.sub(lambda found: "" if found[1] in inside else found[0], text)
        return text.replace(entry[0], entry[0].replace(PREFIX, f"{PREFIX}{BUNDLES}/")).encode()


def _response(request: web.Request, file: File, headers: dict[str, str]) -> web.Response:
    """The file in the form that the client takes, or that what it has is still the same."""
    compresses = bool(file.compressed) and accepts_gzip(request.headers.get(hdrs.ACCEPT_ENCODING, ""))
    tag = f"{file.digest}-gzip" if compresses else file.digest
    known = request.if_none_match or ()
    headers = {**headers, hdrs.ETAG: f'"{tag}"', hdrs.VARY: hdrs.ACCEPT_ENCODING}
    if any(one.value in (tag, "*") for one in known if isinstance(one, ETag)):
        return web.Response(status=304, headers=headers)
    if compresses:
        headers[hdrs.CONTENT_ENCODING] = "gzip"
    body = file.compressed if compresses else file.body
    return web.Response(body=body, content_type=file.media, charset="utf-8", headers=headers)
