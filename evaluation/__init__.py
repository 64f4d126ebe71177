"""Methods, ratios and what they cost: tables, figures and the models they are made with."""
