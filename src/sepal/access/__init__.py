"""Who may call: API keys, bearer tokens, and how often each may."""
