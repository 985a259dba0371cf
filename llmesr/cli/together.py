"""``--processes N``: one command carried out by several processes of this machine, and an end that a person can read.

torchrun starts and watches them. What it says of an end is for whoever debugs torchrun; here the process that failed
has said why, and this says what only the one who watched can know.
"""

from __future__ import annotations

import logging
import os
import signal
import sys

from llmesr.cli.output import STOPPED, say


def cores() -> int:
    """How many this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def start_together(count: int) -> None:
    """Become what starts ``count`` processes of the command line that this one was given. They share the cores."""
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, cores() // count)))
    watcher = [sys.executable, "-m", "llmesr.cli.together", "--standalone", f"--nproc-per-node={count}"]
    sys.stdout.flush()
    os.execv(sys.executable, [*watcher, "-m", "llmesr", *sys.argv[1:]])


def main() -> int:
    """Start and watch the processes, by the arguments of torchrun. The exit code of the command."""
    logging.disable(logging.ERROR)  # torchrun's own words
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.run import parse_args, run

    try:
        run(parse_args(sys.argv[1:]))
    except SignalException:
        return STOPPED
    except ChildFailedError as error:
        return ended(error.get_first_failure()[1].exitcode)
    return 0


def ended(code: int) -> int:
    """The exit code of a command of which a process has ended with ``code``; where nobody else can have said why,
    this does."""
    if code >= 0:
        return code
    name = signal.Signals(-code).name
    hint = " The machine may have run out of memory." if name == "SIGKILL" else ""
    say(f"Error: A process was ended by {name}.{hint} `llmesr resume` goes on from the last checkpoint.")
    return 1


if __name__ == "__main__":
    sys.exit(main())
