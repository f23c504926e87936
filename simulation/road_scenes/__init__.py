"""Road scenes: drives through city, town and highway, drawn by code, whose boxes and ids are known exactly."""
