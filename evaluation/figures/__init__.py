"""The paper's figures, drawn anew."""
