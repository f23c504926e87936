"""Video: which frames hold wrong or missing boxes, estimated from how detections agree over time (thesis ch. 2)."""
