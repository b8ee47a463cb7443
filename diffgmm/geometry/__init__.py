"""A mixture in, answers about its shape out: overlap, modes, calibration. Arrays only."""
