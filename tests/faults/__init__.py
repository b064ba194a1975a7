"""The fault campaign: real programs against an endpoint that misbehaves by a script.

``python -m tests.faults`` runs every scenario and prints a table. The fast scenarios
run under pytest as well. Reading order:

``accelerated_clock``   shortens an outage of an hour to minutes
``lines``               parses and adds up the lines that arrived
``actions`` ``endpoint``
                        a scripted endpoint, in a process without dtmetrics
``application``         what a program of the campaign imports
``rig``                 starts, commands and ends endpoints and programs
``campaign``            scenarios and their rows
``scenarios``           the list of all scenarios, by subject
"""
