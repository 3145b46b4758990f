"""Sweeps: what varies, who runs which trial, what came of it. Hydra's side of it is in `hydra_plugins.mtl_seg_depth`.

space.py     from Hydra's sweep syntax to the combinations of a grid, or the space of a search
studies.py   the database of the studies
queue.py     which trial is next; trials of dead workers, failed ones, finished ones
handover.py  what launchers are handed, which may write it down
trial.py     one trial, inside a job: its seeds, heartbeat and pruning
summary.py   sweep.json, the table and the tracking server's parent run
workers.py   several processes, and the live view of what they do
sweep.py     the sweep itself, from command line to exit code
"""
