"""What JaxMARL's pursuit games have in common: the field, the prey's rules, words and controls."""
