"""Marks that a generator puts into all it draws, and marks put into a picture's latent; each is found again with a p-value."""
