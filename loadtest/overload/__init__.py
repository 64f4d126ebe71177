"""Proof that adaptive pruning carries a server through an overload that unpruned serving does not survive."""
