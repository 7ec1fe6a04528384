"""What an OCI runtime is to run: `python3 image_bundle.py IMAGE.json DATA_FOLDER ARGUMENT …` prints the configuration
of a container that has as little as the image needs; `--health IMAGE.json` the command of the image's health check.

`IMAGE.json` is what `buildah inspect --type image` says. Only the standard library is used.
"""

import json
import sys
from pathlib import Path
from typing import Any


def bundle(image: dict[str, Any], data: str, arguments: list[str]) -> dict[str, Any]:
    """The configuration: no capability, no new right, a read-only root, a network with loopback alone."""
    user, _, group = image["User"].partition(":")
    tmpfs = ["nosuid", "nodev", "noexec", "mode=1777", "size=64m"]
    return {
        "ociVersion": "1.0.2",
        "process": {
            "user": {"uid": int(user), "gid": int(group)},
            "args": [*image["Entrypoint"], *arguments],
            "env": image["Env"],
            "cwd": image["WorkingDir"],
            "capabilities": {kind: [] for kind in ("bounding", "effective", "permitted", "inheritable", "ambient")},
            "noNewPrivileges": True,
        },
        "root": {"path": "rootfs", "readonly": True},
        "hostname": "marketflow",
        "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc"},
            {
                "destination": "/dev",
                "type": "tmpfs",
                "source": "tmpfs",
                "options": ["nosuid", "strictatime", "mode=755"],
            },
            {"destination": "/tmp", "type": "tmpfs", "source": "tmpfs", "options": tmpfs},
            {"destination": next(iter(image["Volumes"])), "type": "bind", "source": data, "options": ["bind", "rw"]},
        ],
        "linux": {
            "namespaces": [{"type": kind} for kind in ("pid", "mount", "ipc", "uts", "network")],
            "maskedPaths": ["/proc/kcore", "/proc/keys"],
            "readonlyPaths": ["/proc/sys", "/proc/sysrq-trigger"],
        },
    }


def health(image: dict[str, Any]) -> str:
    """The command of the health check, which is written without a shell."""
    kind, *command = image["Healthcheck"]["Test"]
    assert kind == "CMD", kind
    return " ".join(command)


def main(argv: list[str]) -> None:
    """Prints what is asked for."""
    is_health = argv[0] == "--health"
    image = json.loads(Path(argv[1 if is_health else 0]).read_text())["Docker"]["config"]
    found = health(image) if is_health else json.dumps(bundle(image, argv[1], argv[2:]), indent=1)
    sys.stdout.write(found + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
