"""A report as PDF: printed by a Chromium or Chrome that is installed, since charts are drawn by a browser."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from llmesr.errors import UserError

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "microsoft-edge")
PATIENCE = 120
"""Seconds after which a browser that has printed nothing is given up."""


def browser() -> str | None:
    """The path of a browser that can print; None where there is none."""
    return next((found for name in BROWSERS if (found := shutil.which(name))), None)


def printed(html: str) -> bytes:
    """A self-contained HTML document as PDF. UserError where no browser is installed, or it prints nothing."""
    program = browser()
    if program is None:
        raise UserError(
            "A PDF is printed by Chromium or Chrome, and neither is installed here. Export as .html, open it in a "
            "browser, and print it from there."
        )
    with tempfile.TemporaryDirectory(prefix="llmesr-print-") as folder:
        source, target = Path(folder) / "report.html", Path(folder) / "report.pdf"
        source.write_text(html, encoding="utf-8")
        command = [program, "--headless", "--disable-gpu", f"--user-data-dir={folder}/profile"]
        if os.geteuid() == 0:  # it refuses its sandbox to root; what it opens is our own page, which fetches nothing
            command.append("--no-sandbox")
        command += [
            "--no-pdf-header-footer",
            "--virtual-time-budget=20000",
            f"--print-to-pdf={target}",
            source.as_uri(),
        ]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
        except subprocess.TimeoutExpired:
            raise UserError(
                f"{program} has printed nothing within {PATIENCE} s. Export as .html and print that."
            ) from None
        if not target.is_file():
            reason = done.stderr.strip().splitlines()[-1:] or ["no reason given"]
            raise UserError(
                f"{program} could not print the report ({reason[0][:200]}). Export as .html and print that."
            )
        return target.read_bytes()
