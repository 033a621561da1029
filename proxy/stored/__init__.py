"""The stored-completions API, and the same for responses, over what was recorded."""
