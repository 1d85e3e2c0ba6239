"""Residents (居民): who lives where, live counts, personal data encrypted and shown only for a reason."""
