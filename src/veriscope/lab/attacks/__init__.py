"""What is done to marked pictures to lose the mark, and to unmarked ones to fake it."""
