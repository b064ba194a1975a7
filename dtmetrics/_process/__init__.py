"""What is observed of the process itself: ``configure(runtime=True)``.

`groups` names the groups; `operating_system` and `garbage_collector` read the values;
`measures` lists the metrics, and `observed_process` has them collected.
"""
