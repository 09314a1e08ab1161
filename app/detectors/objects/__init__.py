"""The detector that comes with its model. NOTICE says where the weights are from."""
