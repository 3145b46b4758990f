"""Networks that map a picture to a list of predictions for every task; the last of each list is the one scored."""
