"""Mutated uploads of every format, and mutated archives: what do the page and the import make of them?

    python benchmarks/uploads.py [--files 1000] [--pages 0] [--archives 200] [--seed 0] [--json FILE]

Good files are mutated (mutations.py) and uploaded; the view of uploads shows what each holds, and the function that the
command calls imports it. A *traceback* is any error but a sentence for a person; *slow* is a view or an import that
takes 30 s of processor time or more (a busy machine takes longer by the clock); the *peak* is the memory of the process
that drew the views, over all of them. The view is drawn alone, without the rest of its page, and its look into a file
is a fork under the same limits, not a Python that imports its libraries again: else a file would take seconds. With
``--pages`` the whole page is drawn as the app does, for the first so many. Archives are mutated octet by octet and
member by member: each is refused with a sentence, or is the artifact it was.
"""

from __future__ import annotations

import argparse
import functools
import io
import logging
import os
import random
import resource
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import ClassVar

import psutil
from commands import tell
from mutations import MEGABYTES, mutated, mutated_archive, originals
from streamlit.components.v2 import manifest_scanner
from streamlit.testing.v1 import AppTest

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPOSITORY / "tests"))

from factories import make_dataset  # noqa: E402

from llmesr.api import ingest  # noqa: E402
from llmesr.data import look  # noqa: E402
from llmesr.errors import UserError, machine_failure  # noqa: E402
from llmesr.jobs.uploads import Uploads  # noqa: E402
from llmesr.store import Store, examine, export_archive, import_archive  # noqa: E402

SECONDS = 30.0
PATIENCE = 600.0
"""Seconds by the clock after which an import has not ended."""


class Traces(logging.Handler):
    """What the page's error boundary writes to the log."""

    lines: ClassVar[list[str]] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(logging.Formatter().format(record)[-900:])

    @classmethod
    def caught(cls) -> list[str]:
        """The traces since the last call."""
        found = [*cls.lines]
        cls.lines.clear()
        return found


VIEW = """
from llmesr.views.cache import artifacts
from llmesr.views.datasets import upload
from llmesr.views.shared import widgets

with widgets.boundary("The upload"):
    upload.add(artifacts.store())
"""


def forked(program: Sequence[str], *, input: bytes, timeout: float, **_: object) -> subprocess.CompletedProcess[bytes]:
    """In place of ``subprocess.run`` in data/look.py: the same in a fork, which has imported all it needs."""
    (asked, ask), (hear, said) = os.pipe(), os.pipe()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            os.dup2(asked, 0)
            os.dup2(said, 1)
            os.closerange(3, 64)
            sys.stdin, sys.stdout = open(0, closefd=False), open(1, "w", closefd=False)  # noqa: SIM115
            look.OCTETS += psutil.Process().memory_info().vms  # what this process holds already
            look.main()
            sys.stdout.flush()
            code = 0
        finally:
            os._exit(code)
    os.close(asked)
    os.close(said)
    late = threading.Timer(timeout, os.kill, (child, signal.SIGKILL))
    late.start()
    with open(ask, "wb") as given, open(hear, "rb") as heard:
        given.write(input)
        given.close()
        answer = heard.read()
    status = os.waitpid(child, 0)[1]
    killed = late.finished.is_set()
    late.cancel()
    if killed:
        raise subprocess.TimeoutExpired(program, timeout)
    return subprocess.CompletedProcess(program, os.waitstatus_to_exitcode(status), answer)


def waited(child: int, seconds: float) -> int | None:
    """The status a child ended with; None when it had to be killed after so long."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid:
            return status
        time.sleep(0.005)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return None


def drawn(token: str, whole: bool) -> str:
    """What the view of uploads (the ``whole`` page) says of one: an error that it should not show, or nothing."""
    page = REPOSITORY / "pages" / "datasets.py"
    test = (
        AppTest.from_file(str(page), default_timeout=120) if whole else AppTest.from_string(VIEW, default_timeout=120)
    )
    test.query_params["upload"] = token
    test.query_params["look"] = "add"
    test.run()
    broken = [str(e.message) for e in test.exception] + [e.value for e in test.error if "could not be shown" in e.value]
    return " | ".join([*broken, *Traces.caught()]) if broken else ""


def imported(store: Store, path: Path) -> str:
    """What goes wrong in an import, in a child of its own as the command would be; nothing when it ends well or with a
    sentence."""
    log = path.parent / "import.log"
    child = os.fork()
    if child == 0:
        said = ""
        try:
            ingest(path, name="mutated", store=store)
        except UserError:
            pass
        except BaseException as error:
            said = "" if machine_failure(error) else f"{type(error).__name__}: {error}"
        finally:
            log.write_text(said)
            os._exit(0)
    if waited(child, PATIENCE) is None:
        return "did not end"
    return log.read_text() if log.exists() else "ended without a word"


def processor() -> float:
    """Seconds of processor time that this process and those it has waited for have taken."""
    return sum(os.times()[:4])


def try_files(count: int, pages: int, rng: random.Random, folder: Path) -> dict[str, object]:
    """Upload ``count`` mutated files, draw the view of each (of the first ``pages`` the whole page), import them."""
    store = Store(folder / "artifacts")
    make_dataset(store)
    os.environ["LLMESR_ARTIFACTS"] = str(store.root)
    files = originals()
    kinds: Counter[str] = Counter()
    faults: list[dict[str, object]] = []
    longest = {"view": 0.0, "import": 0.0}
    for number in range(count):
        name, how, content = mutated(files, rng)
        kinds[how.partition("+")[0]] += 1
        token = Uploads(store).receive([(name, io.BytesIO(content))], limit=MEGABYTES * 1_000_000)
        started = processor()
        shown = drawn(token, number < pages)
        seconds = {"view": processor() - started}
        started = processor()
        [path] = Uploads(store).files(token)
        wrong = imported(Store(folder / "imports"), path)
        seconds["import"] = processor() - started
        longest = {what: max(longest[what], took) for what, took in seconds.items()}
        slow = [what for what, took in seconds.items() if took >= SECONDS]
        if shown or wrong or slow:
            kept = folder.parent / f"{folder.name}-fault-{number}-{name}"
            kept.write_bytes(content[:2_000_000])
            faults.append({"file": str(kept), "how": how, "view": shown, "import": wrong, "slow": slow})
            print(faults[-1], file=sys.stderr, flush=True)
        Uploads(store).discard(token)
        if number % 50 == 49:
            print(f"{number + 1} files, {_peak_megabytes()} MB", file=sys.stderr, flush=True)
    return {
        "files": count,
        "pages": min(pages, count),
        "mutations": dict(kinds),
        "tracebacks": sum(bool(f["view"] or f["import"]) for f in faults),
        "slow": sum(bool(f["slow"]) for f in faults),
        "longest_view_seconds": round(longest["view"], 2),
        "longest_import_seconds": round(longest["import"], 2),
        "peak_megabytes": _peak_megabytes(),
        "faults": faults,
    }


def _peak_megabytes() -> int:
    """The most this process has held. Linux lets ``ru_maxrss`` begin with what the process that started it held."""
    status = Path("/proc/self/status")
    if not status.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // (1 << 20)
    return next(int(line.split()[1]) // 1024 for line in status.read_text().splitlines() if line.startswith("VmHWM"))


def try_archives(count: int, rng: random.Random, folder: Path) -> dict[str, object]:
    """Import ``count`` mutated archives of one dataset; none may be taken that is not what was exported."""
    store = Store(folder / "source")
    data = make_dataset(store)
    whole = export_archive(store, "datasets", data.id, folder / "whole.tar.gz").read_bytes()
    ends: Counter[str] = Counter()
    faults: list[str] = []
    for number in range(count):
        path = folder / "mutated.tar.gz"
        path.write_bytes(mutated_archive(whole, rng))
        place = Store(folder / f"import-{number}")
        try:
            import_archive(place, path)
            ends["taken, and whole"] += 1
            faults += [f"{number}: {f.what}" for f in examine(place) if f.damaged]
        except UserError:
            ends["refused"] += 1
            faults += [f"{number}: {kind} left" for kind in ("datasets", "runs") if place.ids(kind)]
        except Exception as error:
            faults.append(f"{number}: {type(error).__name__}: {error}")
    return {"archives": count, **ends, "faults": faults}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=1_000)
    parser.add_argument("--pages", type=int, default=0)
    parser.add_argument("--archives", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    logging.getLogger("llmesr.app").addHandler(Traces())
    looking = SimpleNamespace(run=forked, TimeoutExpired=subprocess.TimeoutExpired)
    look.subprocess = looking  # type: ignore[attr-defined, assignment]
    # A server looks through what is installed once; AppTest would do so for every page it draws.
    manifest_scanner.scan_component_manifests = functools.cache(manifest_scanner.scan_component_manifests)
    rng = random.Random(arguments.seed)
    with tempfile.TemporaryDirectory(prefix="llmesr-uploads-") as folder:
        archives = try_archives(arguments.archives, rng, Path(folder))
        files = try_files(arguments.files, arguments.pages, rng, Path(folder) / "files")
    tell({"uploads": files, "archives": archives}, arguments.json)
    sys.exit(bool(files["faults"] or archives["faults"]))


if __name__ == "__main__":
    main()
