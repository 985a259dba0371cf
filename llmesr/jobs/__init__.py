"""Long work as detached processes whose whole state is on disk.

``record``: what a job is and where it stands. ``lock``: one writer at a time. ``engine``: who carries a job out.
``queue``: submit, list, stop, resume, retry; ``dispatch`` starts what waits. ``worker``: the process of one job.
``plans``: the chains the app offers. A job runs command lines of this package and imports nothing of training.
"""
