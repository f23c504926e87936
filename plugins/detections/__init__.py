"""Detections: which images a detector is least sure of, from the boxes that it drew (baselines of thesis ch. 2)."""
