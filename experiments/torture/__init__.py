"""What must not happen, tried many times: faults of providers, hostile answers, hostile files."""
