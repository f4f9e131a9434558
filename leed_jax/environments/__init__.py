"""Environments with all agents in one array (`leed_jax.types.ArrayEnv`)."""
