"""The bridge to batch systems: messages of some services become jobs, and what the jobs wrote becomes answers.

Compute nodes have no way to the broker and the store, and may hold no keys. The bridge stands outside: it takes the
messages, records their units in the store, lays out what they need in folders that the nodes see, submits, polls, and
brings back what was written. It runs no unit itself and loads no service.

    program.py    the process: its threads, signals and probes
    site.py       the profile of a batch system, and the presets of known ones
    intake.py     from a message to a unit's record, exactly once
    records.py    which units wait, and which jobs there are
    dispatch.py   packing, submitting, polling, again and again
    settling.py   what follows from a job that has ended
    staging.py    artifacts into a job's folder, and back
    script.py     a job's script
    scheduler.py  what is asked of a batch system; slurm.py asks it of Slurm
"""
