"""Findings: a chart or a table as somebody saw it, kept with a note and with what its numbers are of.

    llmesr.findings.pin("Text helps the tail", figure, runs=runs)   keep a figure or a table
    llmesr.findings.every()                                         all of them, in their order
    llmesr.findings.changes(finding)                                what has happened to its runs since

The app pins by a button above each chart and shows them on the page Findings. ``llmesr.export_findings`` writes them as
one file.
"""

from llmesr.findings.keep import damaged, edit, every, find, move, pin
from llmesr.findings.record import Pinned, Subject, changes

__all__ = ["Pinned", "Subject", "changes", "damaged", "edit", "every", "find", "move", "pin"]
