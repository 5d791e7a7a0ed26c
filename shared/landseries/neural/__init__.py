"""The networks that the trainer writes and the mapper reads (extra `torch`; nothing here is imported early)."""
