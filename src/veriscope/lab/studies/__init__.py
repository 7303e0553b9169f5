"""Studies of training data: how much, in what order, chosen by what, and what a detector learned from it."""
