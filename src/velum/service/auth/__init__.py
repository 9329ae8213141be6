"""Authentication: API keys, tokens, scopes and quotas of callers."""
