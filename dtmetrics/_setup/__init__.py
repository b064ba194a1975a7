"""Set-up: settings, and the one place where everything is put together.

Reading order: ``settings`` (what each may be), ``config`` (all of them together, from
arguments and the environment), ``enrich`` and ``discover`` (what the platform's files
say), ``processes`` and ``signals`` (when a process forks and ends), ``stats`` (what it
can say of all that it recorded), ``default`` (the composition root, and the only
global).
"""
