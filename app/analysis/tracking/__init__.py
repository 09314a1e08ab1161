"""Follow objects from frame to frame. Results are the same on every machine, bit for bit.

Therefore only + − × ÷ and √ of floats are used, in a fixed order, because IEEE 754 defines their results.
Those of `sum`, `**`, numpy and the C library's functions differ between versions of Python and processors.
"""
