"""Generators: small ones of our own and adapters to bigger ones by path."""
