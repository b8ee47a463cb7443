"""Data in, a mixture out: cover, reduction, moves, EM."""
