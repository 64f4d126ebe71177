"""lmms-eval, the toolkit that the paper was evaluated with: its backend for servers that prune.

lmms-eval's own OpenAI backends cannot send `prune_ratio`, and they score a failed request as a wrong answer.
"""
