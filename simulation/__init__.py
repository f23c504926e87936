"""Annotators that answer from ground truth, and experiments."""
