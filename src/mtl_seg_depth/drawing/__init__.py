"""Images of labels, depths and predictions."""
