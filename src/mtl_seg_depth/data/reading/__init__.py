"""From files of any common format to what a pack holds: arrays, then images, class ids and depth codes in one size."""
