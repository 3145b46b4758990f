"""The report: its tables as data, and ours beside them."""
