"""The life of a mask inside Lightning. What is learned, nothing here knows: see :mod:`callbacks.trained`."""
