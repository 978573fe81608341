"""Runs a user's scoring function: a program of its own, started by `python_function`.

A request has `source`, `function` and `arguments`; the answer is `{"value": …, "guards": …}`, or
`{"error": …}` with line and message. Before any of it runs, the process gives up

- the network: an own, empty network namespace where the kernel allows it (`guards.network` is
  `namespace`); everywhere, an audit hook refuses sockets and new processes to Python code
  (`hook`), which code in C could get around;
- files: Landlock, where the kernel has it, leaves Python's own folders to read and the empty folder
  it runs in to write (`guards.files` is `landlock`, or `none`);
- memory, the size of files and the number of open ones, by resource limits.

Standard library only.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import sys
import traceback
from typing import Any

MEMORY = 2 << 30
FILE_BYTES = 10 << 20
OPEN_FILES = 64
NEW_USER, NEW_NET = 0x10000000, 0x40000000
LANDLOCK_CREATE, LANDLOCK_ADD, LANDLOCK_RESTRICT = 444, 445, 446
READ_FILE, READ_DIR, EXECUTE, EVERY_ACCESS = 1 << 2, 1 << 3, 1 << 0, (1 << 13) - 1
NO_NEW_PRIVILEGES = 38
REFUSED = ("socket.", "subprocess.", "os.system", "os.exec", "os.posix_spawn", "os.fork", "ctypes.")
NAME = "<scorer>"


def answer(request: dict[str, Any], compiled: dict[str, Any]) -> dict[str, Any]:
    """What the function returns; `compiled` keeps the last source's names."""
    try:
        if compiled.get("source") != request["source"]:
            names: dict[str, Any] = {"__name__": "scorer"}
            exec(compile(request["source"], NAME, "exec"), names)  # noqa: S102 - what this is for
            compiled.update(source=request["source"], names=names)
        function = compiled["names"].get(request["function"])
        if not callable(function):
            return {"error": f"it defines no function {request['function']}"}
        value = function(*request["arguments"])
        json.dumps(value, allow_nan=False)
    except BaseException as error:  # noqa: BLE001 - the user's code, which may raise anything
        return {"error": told(error)}
    return {"value": value}


def told(error: BaseException) -> str:
    """`line 7: ZeroDivisionError: division by zero`."""
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if frame.filename == NAME]
    line = error.lineno if isinstance(error, SyntaxError) else lines[-1] if lines else None
    said = error.msg if isinstance(error, SyntaxError) else str(error)
    where = "" if line is None else f"line {line}: "
    return f"{where}{type(error).__name__}: {said}"[:500]


def without_network() -> str:
    """`namespace` where the kernel gave one, else `hook`."""
    libc = ctypes.CDLL(None, use_errno=True)
    return "namespace" if libc.unshare(NEW_USER | NEW_NET) == 0 else "hook"


def without_files() -> str:
    """`landlock` where the kernel has it, else `none`."""
    libc = ctypes.CDLL(None, use_errno=True)
    handled = ctypes.c_uint64(EVERY_ACCESS)
    rules = libc.syscall(LANDLOCK_CREATE, ctypes.byref(handled), ctypes.sizeof(handled), 0)
    if rules < 0:
        return "none"
    reading = READ_FILE | READ_DIR | EXECUTE
    readable = [sys.prefix, sys.base_prefix, "/usr", "/lib", "/lib64", "/etc/ld.so.cache"]
    for path in (*readable, *sys.path, "/dev/null", "/dev/urandom"):
        allowed = reading if os.path.isdir(path) else READ_FILE
        _allow(libc, rules, path, allowed)
    _allow(libc, rules, os.getcwd(), EVERY_ACCESS)
    if libc.prctl(NO_NEW_PRIVILEGES, 1, 0, 0, 0) or libc.syscall(LANDLOCK_RESTRICT, rules, 0):
        return "none"
    os.close(rules)
    return "landlock"


def _allow(libc: ctypes.CDLL, rules: int, path: str, access: int) -> None:
    try:
        place = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    rule = access.to_bytes(8, sys.byteorder) + place.to_bytes(4, sys.byteorder)
    libc.syscall(LANDLOCK_ADD, rules, 1, rule, 0)
    os.close(place)


def refuse(event: str, _: object) -> None:
    if event.startswith(REFUSED):
        raise PermissionError(f"a scorer may not use {event}")


def limit_cpu(seconds: float) -> None:
    """From now on; the hard end of a loop that the parent did not kill."""
    spent = sum(os.times()[:2])
    most = resource.getrlimit(resource.RLIMIT_CPU)[1]
    resource.setrlimit(resource.RLIMIT_CPU, (int(spent + seconds) + 1, most))


def main() -> None:
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_FSIZE, (FILE_BYTES, FILE_BYTES))
    resource.setrlimit(resource.RLIMIT_NOFILE, (OPEN_FILES, OPEN_FILES))
    guards = {"network": without_network(), "files": without_files()}
    sys.addaudithook(refuse)
    compiled: dict[str, Any] = {}
    for line in sys.stdin:
        request = json.loads(line)
        limit_cpu(float(request["limit_s"]))
        out.write(json.dumps({**answer(request, compiled), "guards": guards}) + "\n")
        out.flush()


if __name__ == "__main__":
    main()
