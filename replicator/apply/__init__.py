"""Writing one batch on its target: the steps inside the transaction. `write.py` is the order of them."""
