"""One network that sees what and how far: semantic segmentation + monocular depth, composed, swept and compared."""
