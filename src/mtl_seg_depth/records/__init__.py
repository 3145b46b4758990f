"""What a run leaves on disk: its record, its checkpoints, its results."""
