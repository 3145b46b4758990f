"""Ways to balance the tasks: one method a file; the loop knows none of their names."""
