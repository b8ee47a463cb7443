"""Draws of the parameters: priors, blocked Gibbs, labels."""
