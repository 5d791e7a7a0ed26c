"""How messages travel: one protocol, several brokers."""
