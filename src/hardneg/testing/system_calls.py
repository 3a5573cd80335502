"""Holds a program at each of its file-system calls until somebody says what becomes of it: Linux, by seccomp(2).

The kernel itself asks, so that it does not matter who calls: Python, a library in C++, a worker of the program. Stores
into memory-mapped files are no calls and are not seen; when they are forced onto the disk is.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import platform
import select
import struct
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

Kind = Literal["open", "read", "write", "truncate", "sync", "rename", "remove", "mkdir", "link"]

CALLS: dict[str, tuple[int | None, int | None, Kind]] = {  # the numbers on x86-64 and on arm64
    "open": (2, None, "open"),
    "creat": (85, None, "open"),
    "openat": (257, 56, "open"),
    "write": (1, 64, "write"),
    "pwrite64": (18, 68, "write"),
    "writev": (20, 66, "write"),
    "pwritev": (296, 70, "write"),
    "sendfile": (40, 71, "write"),
    "copy_file_range": (326, 285, "write"),
    "truncate": (76, 45, "truncate"),
    "ftruncate": (77, 46, "truncate"),
    "fallocate": (285, 47, "truncate"),
    "fsync": (74, 82, "sync"),
    "fdatasync": (75, 83, "sync"),
    "msync": (26, 227, "sync"),
    "rename": (82, None, "rename"),
    "renameat": (264, 38, "rename"),
    "renameat2": (316, 276, "rename"),
    "unlink": (87, None, "remove"),
    "rmdir": (84, None, "remove"),
    "unlinkat": (263, 35, "remove"),
    "mkdir": (83, None, "mkdir"),
    "mkdirat": (258, 34, "mkdir"),
    "link": (86, None, "link"),
    "linkat": (265, 37, "link"),
    "symlink": (88, None, "link"),
    "symlinkat": (266, 36, "link"),
}
MACHINES = {"x86_64": (0, 0xC000003E, 317), "aarch64": (1, 0xC00000B7, 277)}
"""By machine: its column above, what the kernel calls it, and the number of seccomp(2)."""
PIDFD_OPEN, PIDFD_GETFD = 434, 438
RECEIVE, SEND = 0xC0502100, 0xC0182101  # ioctls: SECCOMP_IOCTL_NOTIF_RECV and _SEND
CONTINUE = 1
EXCHANGE = 2
_libc = ctypes.CDLL(None, use_errno=True)


def machine() -> tuple[int, int, int]:
    """What is known of this machine. Raises NotImplementedError where that is nothing."""
    if sys.platform != "linux" or platform.machine() not in MACHINES:
        raise NotImplementedError("faults can be injected on Linux alone, on x86-64 or arm64")
    return MACHINES[platform.machine()]


def _names() -> dict[int, str]:
    column, _, _ = machine()
    return {number: name for name, (*numbers, _) in CALLS.items() if isinstance(number := numbers[column], int)}


def _system(number: int, *arguments: int | ctypes.c_void_p) -> int:
    result = int(
        _libc.syscall(
            ctypes.c_long(number), *(a if isinstance(a, ctypes.c_void_p) else ctypes.c_long(a) for a in arguments)
        )
    )
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result


def hold() -> int:
    """From now on this process, and every one that it starts, is held at its file-system calls. Returns the descriptor
    that `Watch` wants, in another process. There is no way back.
    """
    _, architecture, seccomp = machine()
    numbers = sorted(_names())
    load, equal, answer = 0x20, 0x15, 0x06  # BPF_LD | BPF_W | BPF_ABS, BPF_JMP | BPF_JEQ, BPF_RET
    ask, allow = 0x7FC00000, 0x7FFF0000  # SECCOMP_RET_USER_NOTIF, SECCOMP_RET_ALLOW
    rules = [(load, 0, 0, 4), (equal, 0, len(numbers) + 1, architecture), (load, 0, 0, 0)]
    rules += [(equal, len(numbers) - place, 0, number) for place, number in enumerate(numbers)]
    rules += [(answer, 0, 0, allow), (answer, 0, 0, ask)]
    code = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *rule) for rule in rules))
    program = ctypes.create_string_buffer(struct.pack("@HP", len(rules), ctypes.addressof(code)))
    if _libc.prctl(38, 1, 0, 0, 0) != 0:  # PR_SET_NO_NEW_PRIVS
        raise OSError(ctypes.get_errno(), "no_new_privs")
    return _system(seccomp, 1, 8, ctypes.c_void_p(ctypes.addressof(program)))  # a filter, with a listener


@dataclass(frozen=True)
class Call:
    """A file-system call that waits."""

    number: int
    pid: int
    name: str
    arguments: Sequence[int]

    @cached_property
    def process(self) -> int:
        """The process whose thread calls."""
        status = Path(f"/proc/{self.pid}/status").read_text(encoding="ascii")
        return int(status.split("Tgid:")[1].split()[0])

    @property
    def descriptor(self) -> Path:
        """Where the file of a call that has its descriptor can be looked at."""
        place = self.arguments[2] if self.name == "copy_file_range" else self.arguments[0]
        return Path(f"/proc/{self.pid}/fd/{ctypes.c_int(place & 0xFFFFFFFF).value}")

    @property
    def kind(self) -> Kind:
        kind = CALLS[self.name][2]
        return "read" if kind == "open" and not self._flags & (os.O_ACCMODE | os.O_CREAT | os.O_TRUNC) else kind

    @property
    def _flags(self) -> int:
        return {"open": self.arguments[1], "openat": self.arguments[2], "creat": os.O_CREAT}[self.name]

    @property
    def exchanges(self) -> bool:
        """Whether two names are swapped."""
        return self.name == "renameat2" and bool(self.arguments[4] & EXCHANGE)

    def paths(self) -> list[Path]:
        """What is touched: for a renaming and a link first the old name, then the new one."""
        if self.name == "msync":
            return self._mapped()
        if self.kind in ("write", "sync") or self.name in ("ftruncate", "fallocate"):
            return [self.descriptor.readlink()]
        if not self.name.rstrip("2").endswith("at") or self.name == "creat":
            return [self._path(place) for place in ((0, 1) if self.kind in ("rename", "link") else (0,))]
        if self.name == "symlinkat":
            return [self._path(2, 1)]
        return [self._path(1, 0), self._path(3, 2)] if self.kind in ("rename", "link") else [self._path(1, 0)]

    def _path(self, place: int, folder: int | None = None) -> Path:
        at = -100 if folder is None else ctypes.c_int(self.arguments[folder] & 0xFFFFFFFF).value
        base = Path(f"/proc/{self.pid}/cwd" if at == -100 else f"/proc/{self.pid}/fd/{at}").readlink()
        return Path(os.path.normpath(base / os.fsdecode(self._text(self.arguments[place]))))

    def _text(self, address: int) -> bytes:
        text = b""
        while b"\0" not in text:
            there = address + len(text)
            text += self.memory(there, 4_096 - there % 4_096)
        return text.split(b"\0")[0]

    def memory(self, address: int, length: int) -> bytes:
        """Bytes of the program's memory."""
        descriptor = os.open(f"/proc/{self.pid}/mem", os.O_RDONLY)
        try:
            return os.pread(descriptor, length, address)
        finally:
            os.close(descriptor)

    def _mapped(self) -> list[Path]:
        for line in Path(f"/proc/{self.pid}/maps").read_text(encoding="utf-8", errors="surrogateescape").splitlines():
            span, _, _, _, _, *name = line.split(maxsplit=5)
            begin, end = (int(address, 16) for address in span.split("-"))
            if name and begin <= self.arguments[0] < end:
                return [Path(name[0])]
        return []

    def half(self) -> int:
        """Does the first half of a write, and returns how many bytes that were; 0 where a call cannot be halved."""
        if self.name not in ("write", "pwrite64") or (length := self.arguments[2]) < 2:
            return 0
        holder = _system(PIDFD_OPEN, self.process, 0)
        try:
            own = _system(PIDFD_GETFD, holder, self.arguments[0], 0)
        finally:
            os.close(holder)
        try:
            content = self.memory(self.arguments[1], length // 2)
            return os.write(own, content) if self.name == "write" else os.pwrite(own, content, self.arguments[3])
        finally:
            os.close(own)


class Watch:
    """The other end of `hold`: what the program wants to do, one call after the other."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._names = _names()
        self._poll = select.poll()
        self._poll.register(descriptor, select.POLLIN)

    def next(self, seconds: float) -> Call | Literal["gone"] | None:
        """The next call that waits; None where none came in time; "gone" when every process has ended."""
        for _, event in self._poll.poll(seconds * 1_000):
            if not event & select.POLLIN:
                return "gone"
            asked = bytearray(80)
            try:
                fcntl.ioctl(self._descriptor, RECEIVE, asked)
            except OSError as error:
                if error.errno == errno.ENOENT:  # it was killed meanwhile
                    return None
                raise
            number, pid, _, name, _, _, *arguments = struct.unpack("=QIIiIQ6Q", asked)
            return Call(number, pid, self._names[name], arguments)
        return None

    def answer(self, call: Call, *, error: int | None = None, done: int | None = None) -> None:
        """Lets a call be done, or fail with ``error``, or seem to have done this many bytes."""
        flags = CONTINUE if error is None and done is None else 0
        try:
            fcntl.ioctl(self._descriptor, SEND, struct.pack("=QqiI", call.number, done or 0, -(error or 0), flags))
        except OSError as problem:
            if problem.errno != errno.ENOENT:  # killed, or called again after a signal
                raise

    def close(self) -> None:
        os.close(self._descriptor)
