"""The Open Inference Protocol, version 2, over HTTP: messages as bytes, and bytes as messages.

For clients and servers; no I/O. Tensors travel as JSON, or as bytes behind the JSON if both sides have the
extension for binary tensors. A message that contradicts itself is refused with a ProtocolError.
"""
