"""Detection on inference servers: Open Inference Protocol, version 2, over HTTP."""
