"""The life of a mask inside Lightning.

A module that is trained sparsely has three things: ``network`` (a plain torch module), ``loss(batch)`` (a scalar) and ``steps``
(optimizer steps of its whole schedule). The callbacks here use these and never ask what is learned.
"""
