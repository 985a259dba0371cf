"""The one error a person is meant to read, and the failures of a machine in such words."""

import errno
import re

_PASSWORD = re.compile(r"(?<=://)([^\s/:@]*):[^\s/@]+@")
_NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_OUT_OF_MEMORY = ("MemoryError", "OutOfMemoryError", "OutOfMemoryException", "ArrowMemoryError")
_REMEDIES = {
    errno.EACCES: "this user may not use it. Change its permissions, or choose another place (--artifacts).",
    errno.EPERM: "this user may not use it. Change its permissions, or choose another place (--artifacts).",
    errno.EROFS: "it is on a disk that is read-only. Choose another place (--artifacts).",
    errno.ENOENT: "it is not there. Check the path.",
    errno.ENOTDIR: "a part of the path is a file, not a folder. Check the path.",
    errno.EISDIR: "it is a folder, not a file. Check the path.",
    errno.EEXIST: "a file stands in the way. Move it, or choose another place.",
    errno.ENAMETOOLONG: "the name is too long for this disk. Choose a shorter one.",
    errno.EMFILE: "too many files are open. Raise the limit (`ulimit -n 4096`) and try again.",
    errno.EADDRINUSE: "the port is taken. Choose another one (--port).",
    errno.EADDRNOTAVAIL: "this machine has no such address. Check --host.",
    errno.EIO: "the disk cannot be read or written. Check the disk.",
}


class UserError(ValueError):
    """Something the user can put right.

    The message is a sentence that names what was wrong (file, line, column, value) and what to
    do about it. The command line prints it and exits with code 2; the app shows it as it is.
    Passwords in URLs are masked.
    """

    def __init__(self, message: str) -> None:
        super().__init__(masked(message))


def masked(text: str) -> str:
    """``text`` with the passwords in its URLs as ``***``."""
    return _PASSWORD.sub(r"\1:***@", text)


def is_full(error: BaseException) -> bool:
    """Whether an error says that a disk is full, in whichever words."""
    said = "No space left on device" in str(error) or "disk is full" in str(error)
    return said or (isinstance(error, OSError) and error.errno in _NO_SPACE)


def machine_failure(error: BaseException) -> str | None:
    """What is wrong with the machine and what to do, in a sentence; None when ``error`` does not say such a thing.

    Libraries wrap what the system says in errors of their own, so causes are looked at too.
    """
    seen: BaseException | None = error
    while seen is not None:
        code = seen.errno if isinstance(seen, OSError) else None
        if is_full(seen):
            return "The disk is full. Make room, then run the same command again: what is finished is kept."
        if isinstance(seen, MemoryError) or type(seen).__name__ in _OUT_OF_MEMORY:
            return (
                "There is not enough memory. Close other programs, or make the work smaller "
                "(such as --set batch_size=64), then run the same command again."
            )
        if isinstance(seen, UnicodeEncodeError) and "surrogates" in seen.reason:
            name = str(seen.object).encode("utf-8", "replace").decode()
            return f"The file name {name!r} is not valid UTF-8 text. Rename the file."
        if code in _REMEDIES and isinstance(seen, OSError):
            what = f"{seen.filename} cannot be used" if seen.filename else seen.strerror
            return f"{what}: {_REMEDIES[code]}"
        seen = seen.__cause__ or seen.__context__
    return f"{error}." if isinstance(error, OSError) else None
