"""Everyday pictures with questions about them: pictograms and signs on photographs, pages of text, charts and tables.

A harder world than that of `evaluation.scenes`: what is around the objects is not plain, and much of it is to be read.
"""
