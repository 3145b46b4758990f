"""Data sets, the packed cache, batches and augmentation; importing this package alone loads none of them."""
