"""Checks of single values, each with an error text about what to write instead. None uses the network."""

import ipaddress
import re
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Final, TypeAlias, get_args, get_origin
from urllib.parse import SplitResult, quote, urlsplit

from pydantic import AfterValidator, Field, PlainValidator

from flows.model import timeframe_ms
from flows.model.secret import Secret
from flows.settings.sources import list_in, mapping_in

MOST_DAYS: Final = 36_500
"""Longest retention: a century, so that no time overflows."""
TOKEN_LENGTH: Final = 1_024
SECRET_LENGTH: Final = 8_192

_HOST_NAME = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_.-]{0,251}[A-Za-z0-9_])?")
_NOT_IN_URL: Final = frozenset(' \\<>"{}|^`#')
_DATABASE_BYTES: Final = 63
_NOT_IN_DATABASE: Final = frozenset('/\\. "$*<>:|?')
_MONGODB_OWN: Final = frozenset(("admin", "local", "config"))
_SRV: Final = "mongodb+srv://"
_LABEL = re.compile(r"[A-Za-z0-9_-]{1,40}")
_ASSET = re.compile(r"[A-Z0-9]{1,20}")
_OBJECT_STORES: Final = "s3", "gs", "az", "abfss", "file"
_CLOCK_TIME = re.compile(r"([01][0-9]|2[0-3]):[0-5][0-9]")
_SHARE = re.compile(r"([0-9]{1,4})/([0-9]{1,4})")


# --- as it is written ---


def as_written(value: Any, kind: Any) -> Any:
    """Prepares a value for parsing: lists and mappings may be texts, and true and false are no numbers. `ValueError`
    names what to write.
    """
    ones = get_args(kind) if type(None) in get_args(kind) else (kind,)
    if any(Secret in get_args(one) for one in ones):  # a private key has lines
        return value
    kinds = {get_origin(one) or one for one in ones}
    if isinstance(value, str):
        if not value.isprintable():
            raise ValueError("write it without line breaks and other controls")
        if kinds & {tuple, list}:
            return list_in(value)
        if dict in kinds:
            return mapping_in(value)
    if isinstance(value, bool) and kinds & {int, float}:
        raise ValueError("write a number")
    if isinstance(value, Mapping) and any(isinstance(each, bool) for each in value.values()):
        raise ValueError("write numbers, as in 1m=7,5m=30")
    return value


# --- addresses ---


def is_host(text: str) -> bool:
    """Whether it is an IP address or a valid host name."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        is_number = text.replace(".", "").isdigit()  # a mistyped address is no name
        return not is_number and ".." not in text and _HOST_NAME.fullmatch(text) is not None
    return True


def is_loopback(host: str) -> bool:
    """Whether it is only reachable from this machine."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def reachable(host: str) -> str:
    """The host, as an address has it, to connect to for a server bound to `host`; wildcards become loopback."""
    named = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}  # noqa: S104 - nothing is bound here
    return named.get(host, f"[{host}]" if ":" in host else host)


def _host(text: str) -> str:
    if not is_host(text):
        raise ValueError("write an address or the name of a machine, as in 127.0.0.1")
    return text


def _parts_of(text: str, schemes: Iterable[str], example: str) -> SplitResult:
    """The parts of an address; `ValueError` for an invalid one, or another scheme."""
    wrong = ValueError(f"write an address such as {example}")
    if not text.isprintable() or set(text) & _NOT_IN_URL:
        raise wrong
    try:
        parts = urlsplit(text)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise wrong from None
    if parts.scheme not in schemes or not is_host(host) or port == 0:
        raise wrong
    return parts


def _web_socket(text: str) -> str:
    example = "wss://stream.example.com:9443"
    if _parts_of(text, ("ws", "wss"), example).query:
        raise ValueError(f"write an address without a query, such as {example}")
    return text


def _web(text: str) -> str:
    example = "https://api.example.com"
    if _parts_of(text, ("http", "https"), example).query:
        raise ValueError(f"write an address without a query, such as {example}")
    return text


def _hub_url(text: str) -> str:
    _parts_of(text, ("ws", "wss"), "ws://127.0.0.1:8765/ws")
    return text


def _bus_url(text: str) -> str:
    example = "nats://127.0.0.1:4222"
    parts = _parts_of(text, ("nats", "tls"), example)
    if "@" in parts.netloc:
        raise ValueError("write it without a user: that is bus.user and bus.password, or bus.credentials")
    if parts.path or parts.query:
        raise ValueError(f"write scheme, host and port alone, such as {example}")
    return text


def _server(text: str) -> str:
    example = "127.0.0.1:9092"
    if "/" in text or "@" in text:
        raise ValueError(f"write host and port alone, such as {example}")
    if _parts_of(f"any://{text}", ("any",), example).port is None:
        raise ValueError(f"write host and port, such as {example}")
    return text


def _web_origin(text: str) -> str:
    example = "https://desk.example.com"
    parts = _parts_of(text, ("http", "https"), example)
    if text != f"{parts.scheme}://{parts.netloc}" or "@" in parts.netloc:
        raise ValueError(f"write scheme and host alone, such as {example}")
    return text.lower()


def _heartbeat_url(text: str) -> str:
    _parts_of(text, ("http", "https"), "https://status.example.com/ping/my-id")
    return text


Host: TypeAlias = Annotated[str, AfterValidator(_host)]
WebSocketUrl: TypeAlias = Annotated[str, AfterValidator(_web_socket)]
WebUrl: TypeAlias = Annotated[str, AfterValidator(_web)]
HubUrl: TypeAlias = Annotated[str, AfterValidator(_hub_url)]
Server: TypeAlias = Annotated[str, AfterValidator(_server)]
BusUrl: TypeAlias = Annotated[str, AfterValidator(_bus_url)]
WebOrigin: TypeAlias = Annotated[str, AfterValidator(_web_origin)]
HeartbeatUrl: TypeAlias = Annotated[str, AfterValidator(_heartbeat_url)]


# --- MongoDB ---


def _mongo_uri(text: str) -> str:
    """`ValueError` when MongoDB's driver would refuse it. Nothing is resolved, so the hosts of `mongodb+srv://` are not
    checked.
    """
    from pymongo.errors import PyMongoError  # noqa: PLC0415 - only where an address is set
    from pymongo.uri_parser import parse_uri  # noqa: PLC0415

    is_srv = text.startswith(_SRV)
    plain = f"mongodb://{text.removeprefix(_SRV).partition('?')[0]}" if is_srv else text
    hint = "write an address such as mongodb://127.0.0.1:27017"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            hosts = parse_uri(plain, validate=True, warn=False)["nodelist"]
    except (PyMongoError, ValueError, UserWarning) as error:
        # the driver's message may contain a part of a password
        reason = "user name and password are to be percent-encoded" if "@" in text else str(error)
        raise ValueError(f"{hint}: {reason}") from None
    if not all(is_host(host) or (host.startswith("/") and host.endswith(".sock")) for host, _ in hosts):
        raise ValueError(f"{hint}: a name of a host is wrong")
    if is_srv and (len(hosts) > 1 or ":" in plain.rpartition("@")[2].removeprefix("mongodb://")):
        raise ValueError(f"{hint}, or mongodb+srv:// with one host and no port")
    return text


def with_password(uri: str, password: str) -> str:
    """The address with the password of its user. `ValueError` when it names no user, or has a password already."""
    scheme, _, rest = uri.partition("://")
    user, at, hosts = rest.partition("@")
    if not at or not user or set(user) & set(":/?") or not password:
        raise ValueError("it belongs to a user whom mongo.uri names without one, as in mongodb://marketflow@host:27017")
    return f"{scheme}://{user}:{quote(password, safe='')}@{hosts}"


def _database(text: str) -> str:
    if not 0 < len(text.encode()) <= _DATABASE_BYTES:
        raise ValueError(f"write a name of 1 to {_DATABASE_BYTES} bytes")
    if wrong := _NOT_IN_DATABASE & set(text):
        raise ValueError(f"a database's name has none of {' '.join(sorted(wrong))!r}: write letters, digits, _ and -")
    if text in _MONGODB_OWN:
        raise ValueError("this database is MongoDB's own: write another name")
    return text


MongoUri: TypeAlias = Annotated[str, AfterValidator(_mongo_uri)]
DatabaseName: TypeAlias = Annotated[str, AfterValidator(_database)]


# --- files, secrets ---


def may_be_folder(path: Path) -> bool:
    """Whether a folder exists or could be created: no file has the name, and the system permits it."""
    try:
        return path.is_dir() or not path.exists()
    except OSError:
        return False


def _folder(path: Path) -> Path:
    if not may_be_folder(path):
        raise ValueError(
            "write the name of a folder: this is a file, a place that this user cannot look into, or no name"
        )
    return path


def _log_file(path: Path) -> Path:
    """`ValueError` for a folder, or a name in what cannot be one."""
    try:
        is_file = bool(path.name) and not path.is_dir()
    except OSError:
        is_file = False
    if not is_file or not may_be_folder(path.parent):
        raise ValueError("write the name of a file, as in data/log/marketflow.log")
    return path


def _token(text: str) -> str:
    if not 0 < len(text) <= TOKEN_LENGTH or not text.isascii() or " " in text:
        raise ValueError(f"write 1 to {TOKEN_LENGTH} letters, digits and signs without spaces, or leave it out")
    return text


def _label(text: str) -> str:
    if not _LABEL.fullmatch(text):
        raise ValueError("write 1 to 40 letters, digits, _ and -")
    return text


def _asset(text: str) -> str:
    if not _ASSET.fullmatch(text):
        raise ValueError("write an asset as the venue does, as in USDT")
    return text


def _secret(value: object) -> Secret:
    if isinstance(value, Secret):
        return value
    if not isinstance(value, str):
        raise ValueError("write a text")  # noqa: TRY004 - pydantic takes no other error
    text = value.replace("\\n", "\n").strip()  # as exchanges print private keys in one line
    if not 0 < len(text) <= SECRET_LENGTH or not text.isascii() or not text.replace("\n", "").isprintable():
        raise ValueError(f"write 1 to {SECRET_LENGTH} letters, digits and signs, or leave it out")
    return Secret(text)


def _key(value: object) -> Secret:
    key = _secret(value)
    try:
        _token(key.reveal())
    except ValueError as error:
        raise ValueError(str(error)) from None
    return key


def _lake_place(text: str) -> str:
    scheme, is_address, rest = text.partition("://")
    if is_address:
        if scheme not in _OBJECT_STORES or not rest.strip("/") or not text.isprintable() or " " in text:
            raise ValueError(f"write a folder, or an address such as s3://bucket/lake ({', '.join(_OBJECT_STORES)})")
        return text
    return str(_folder(Path(text)))


def _clock_time(text: str) -> str:
    if not _CLOCK_TIME.fullmatch(text):
        raise ValueError("write hours and minutes, UTC, as in 00:30")
    return text


LakePlace: TypeAlias = Annotated[str, AfterValidator(_lake_place)]
ClockTime: TypeAlias = Annotated[str, AfterValidator(_clock_time)]
Folder: TypeAlias = Annotated[Path, AfterValidator(_folder)]
LogFile: TypeAlias = Annotated[Path, AfterValidator(_log_file)]
Token: TypeAlias = Annotated[str, AfterValidator(_token)]
Asset: TypeAlias = Annotated[str, AfterValidator(_asset)]
Label: TypeAlias = Annotated[str, AfterValidator(_label)]
SecretText: TypeAlias = Annotated[Secret, PlainValidator(_secret)]
ApiKey: TypeAlias = Annotated[Secret, PlainValidator(_key)]


# --- numbers ---

Port: TypeAlias = Annotated[int, Field(ge=1, le=65_535)]
OpenPort: TypeAlias = Annotated[int, Field(ge=0, le=65_535)]
Seconds: TypeAlias = Annotated[float, Field(gt=0, le=1_000_000)]
Milliseconds: TypeAlias = Annotated[int, Field(ge=0, le=1_000_000_000)]
Count: TypeAlias = Annotated[int, Field(ge=1, le=100_000_000)]
Days: TypeAlias = Annotated[float, Field(ge=0, le=MOST_DAYS)]


# --- names that mean a length of time, and a share ---


def check_timeframes(names: Iterable[str]) -> dict[str, int]:
    """Their lengths in ms; `ValueError` for an invalid one, or two of the same length."""
    lengths: dict[str, int] = {}
    for name in names:
        length = timeframe_ms(name)
        if name in lengths:
            raise ValueError(f"{name} stands there twice: name it once")
        same = next((other for other, known in lengths.items() if known == length), "")
        if same:
            raise ValueError(f"{same} and {name} are the same length: choose one of them")
        lengths[name] = length
    return lengths


def share_of(text: str) -> tuple[int, int]:
    """`i/N` as numbers; `ValueError` unless 1 <= i <= N."""
    match = _SHARE.fullmatch(text)
    index, count = (int(match[1]), int(match[2])) if match else (0, 0)
    if not 1 <= index <= count:
        raise ValueError(f"{text!r} is no share: write i/N with 1 <= i <= N, as in 1/2")
    return index, count
