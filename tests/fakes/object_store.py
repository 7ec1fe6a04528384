"""An object store on loopback that speaks as much of S3 as a lake needs: put, get, head, list by prefix."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

LIST = "<?xml version='1.0'?><ListBucketResult><IsTruncated>false</IsTruncated>{}</ListBucketResult>"
OBJECT = (
    "<Contents><Key>{}</Key><LastModified>2026-01-01T00:00:00.000Z</LastModified><ETag>{}</ETag>"
    "<Size>{}</Size></Contents>"
)


class ObjectStore:
    """Its objects by key, which may be changed from outside, and whether it refuses everything."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.refuses = False
        self.variables: dict[str, str] = {}
        """What a client finds it by."""


def _tag(content: bytes) -> str:
    return f'"{sha256(content).hexdigest()[:16]}"'


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: "_Server"

    def log_message(self, *_: object) -> None:
        """Nothing."""

    def do_PUT(self) -> None:
        content = self.rfile.read(int(self.headers["Content-Length"]))
        if self.server.store.refuses:
            self._answer(403)
            return
        self.server.store.objects[self._key()] = content
        self._answer(200, ETag=_tag(content))

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        query = parse_qs(urlsplit(self.path).query)
        content = self.server.store.objects.get(self._key())
        if self.server.store.refuses:
            self._answer(403)
        elif "list-type" in query:
            self._answer(200, _list(self.server.store.objects, query.get("prefix", [""])[0]).encode())
        elif content is None:
            self._answer(404)
        else:
            body = content if self.command == "GET" else b""
            headers = {"ETag": _tag(content), "Last-Modified": "Thu, 01 Jan 2026 00:00:00 GMT"}
            self._answer(200, body, size=len(content), **headers)

    def _key(self) -> str:
        return unquote(urlsplit(self.path).path).lstrip("/").partition("/")[2]

    def _answer(self, status: int, body: bytes = b"", *, size: int | None = None, **headers: str) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body) if size is None else size), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)


class _Server(ThreadingHTTPServer):
    store: ObjectStore


def _list(objects: dict[str, bytes], prefix: str) -> str:
    """What is directly below a prefix, as S3 lists it with the delimiter `/`."""
    rest = {key: key.removeprefix(prefix) for key in sorted(objects) if key.startswith(prefix)}
    folders = sorted({f"{prefix}{left.partition('/')[0]}/" for left in rest.values() if "/" in left})
    own = [key for key, left in rest.items() if "/" not in left]
    entries = [OBJECT.format(escape(key), _tag(objects[key]), len(objects[key])) for key in own]
    entries += [f"<CommonPrefixes><Prefix>{escape(one)}</Prefix></CommonPrefixes>" for one in folders]
    return LIST.format("".join(entries))


@contextmanager
def running_object_store() -> Iterator[ObjectStore]:
    """Serves one until it is left; any bucket is its own."""
    server = _Server(("127.0.0.1", 0), _Handler)
    store = server.store = ObjectStore()
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    store.variables = {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{server.server_port}",
        "AWS_ALLOW_HTTP": "true",
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_REGION": "us-east-1",
    }
    try:
        yield store
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
