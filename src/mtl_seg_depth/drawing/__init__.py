"""Pictures of labels, depths and predictions."""
