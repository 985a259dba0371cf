"""The environment variables that jobs read."""

SLOTS = "LLMESR_SLOTS"
"""The slots of the queue, such as ``cuda:0,cuda:1``, ``cuda:0+1`` (a job with both cards) or ``cpu,cpu-2``."""
ENGINE = "LLMESR_ENGINE"
"""``local`` (the default), or ``ray:`` and the address of a Ray dashboard."""
GRACE = "LLMESR_STOP_GRACE"
"""Seconds between asking a command to stop and killing it."""
REMOTE = "LLMESR_REMOTE"
"""URL of a remote store from which a job takes what it needs and where it leaves what it made."""
PASSED_ON = (SLOTS, GRACE, REMOTE)
"""What a worker on another machine gets as well."""
