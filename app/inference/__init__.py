"""The role `inference`: serves the models of VA_MODEL_ROOT by the Open Inference Protocol v2 over HTTP."""
