"""PyTorch modules: Linear Memory Networks, related networks, their initialization, and the models built from them."""
