"""Balance: batches that lift the classes with too few labels."""
