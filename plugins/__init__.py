"""Acquisition plugins: they know evidence, never Label Studio, SQL, Redis or HTTP."""
