"""How far pruned answers about one's own pictures are those of the unpruned model."""
