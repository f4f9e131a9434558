"""Programs on top of `leed_jax`: runs, figures, reports; the package never imports them."""
