"""A command of the shell that is run by the process of `warm.py`: `python -I warm_client.py SOCKET ARGUMENTS`.

It hands on its arguments, environment, folder and streams, passes Ctrl-C on, and ends as the command does. It imports
next to nothing.
"""

import json
import os
import signal
import socket
import struct
import sys

_NUMBER = struct.Struct("i")


def main() -> int:
    """The command's exit code; a signal that has ended it ends this process too."""
    with socket.socket(socket.AF_UNIX) as server:
        server.connect(sys.argv[1])
        request = {"arguments": sys.argv[2:], "cwd": os.getcwd(), "env": dict(os.environ)}  # noqa: PTH109
        line = json.dumps(request).encode() + b"\n"
        sent = socket.send_fds(server, [line], [0, 1, 2])
        server.sendall(line[sent:])
        [pid] = _NUMBER.unpack(server.recv(_NUMBER.size))
        signal.signal(signal.SIGINT, lambda number, _: os.kill(pid, number))
        [code] = _NUMBER.unpack(server.recv(_NUMBER.size))
    if code < 0:
        signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    return int(code)


if __name__ == "__main__":
    sys.exit(main())
