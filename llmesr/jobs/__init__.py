"""Long work as detached processes whose whole state is on disk.

    record.py        what a job is (its steps, as data) and where it stands
    engine.py        who carries a job out: the contract, and processes of this machine
    ray_engine.py    the same on a Ray cluster
    environment.py   the environment variables all of them read
    queue.py         submit, list, stop, resume, retry; ``dispatch`` starts what waits
    worker.py        the process of one job
    settle.py        the run, adapter or search that a step makes: where it stands, and how it ends with its job
    exchange.py      what a worker takes from and leaves at a remote store
    plans.py         the chains of steps the app offers
    wanted.py        the steps that a claim or a split lacks
    sweep.py         leftovers that nobody uses any more, removed now and then
    uploads.py       files a visitor sent

A job runs command lines of this package and imports nothing of training.

The life of a job
-----------------
**Submit.** ``Jobs.submit_steps`` writes ``job.json`` (its steps) and ``status.json`` (PENDING) and calls ``dispatch``.
There is no daemon: whoever submits, stops, resumes or reconciles, and every worker as it ends, dispatches under the
lock of the jobs folder. The oldest waiting job gets a free slot: the engine starts ``worker.py`` in a session of its
own, and the status becomes RUNNING with the worker's process id and start time.

**Work.** The worker runs one command after the other. The command line is written from the step; a step whose run the
job itself has begun (``JobStatus.begun``) is resumed instead (``Step.resume_command``). Ids that a command prints are
saved in the status under a name, and later steps say ``{name}``. After the last step the job is SUCCEEDED; a command
that fails, or is ended by a signal, makes it FAILED with the command's own sentence.

**Stop.** ``Jobs.stop`` sets ``stop_requested`` in the status and has the engine send SIGTERM to the worker (a waiting
job is STOPPED at once). A worker on another machine gets no signal and reads the request in its status, every second.
The worker sends SIGTERM on to its command, which hears it in ``training/stopping.py``, leaves its loop
(``training/loop.py``) at the next step, writes a checkpoint, records its run as STOPPED and exits with code 3; then
the worker records the job as STOPPED. A command that is still there when the grace is over (``LLMESR_STOP_GRACE``, 30
s) is killed. Asking twice changes nothing; ``force`` kills worker and command at once.

**Resume.** ``Jobs.resume`` makes a STOPPED or FAILED job PENDING again, with its step and saved ids; the step whose run
exists goes on from the run's last checkpoint, to the same result as if it had never stopped. ``Jobs.retry`` is a new
job with new runs, which its later steps read.

**Orphans.** A worker can die without a word (killed, out of memory, a restart). ``dispatch`` asks the engine whether
the worker of every RUNNING job lives, by process id AND start time; of one that does not it kills what is left, and
records the job as FAILED ("Resume it."), or as STOPPED where a stop had been asked for. In every such end ``settle``
gives the unfinished run the state of its job, so that nothing on disk says RUNNING when nobody works.
"""
