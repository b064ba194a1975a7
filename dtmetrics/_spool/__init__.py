"""Batches on disk, so that what waits in the outbox outlives its process.

``spool`` is the entry: it stores, marks and deletes batches, and recovers those of dead
processes. ``index`` knows which batches this process has on disk and bounds them,
``directory`` holds the lock and the files of one process, ``record`` is the format of
one file, ``root`` checks where the files may lie, ``disk_worker`` bounds how long a
disk is waited for.

The spool does not use SQLite, although a database would replace some of this code. The
reason is fork. SQLite guards its allocator with a mutex of the whole process. A process
that forks while a thread is inside SQLite leaves that mutex locked in the child, and
each later use of SQLite in the child hangs, the application's own databases included.
With one thread storing batches through SQLite, 50 of 4,000 forked children hung in
``sqlite3Malloc``. A hook that waits up to 100 ms for the thread before each fork made
forks take 17 ms in the median, still let 1 of 1,000 children hang, and is not run where
uWSGI forks. System calls on files hold no such lock:
``tests/test_spool_forks.py`` forks while batches are stored, and its children go on.

Less would have been saved than it seems. SQLite checks no content, so that each record
still needs a checksum. The lock that only a living process holds, the checks of the
directory and the disk worker stay. A batch of 1,000 lines took 1.2 ms to store and
0.8 ms to delete, against 0.6 ms and 0.06 ms with a file.
"""
