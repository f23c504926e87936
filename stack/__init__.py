"""The whole loop on one machine: Label Studio, Redis, the backend and a worker, started and watched together."""
