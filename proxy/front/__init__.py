"""The front door: uvicorn's connections, turned into turns that can be cut and left."""
