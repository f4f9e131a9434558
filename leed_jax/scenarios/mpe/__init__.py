"""``mpe/<task>``: JaxMARL's particle worlds; a task is a file here, or several that are alike."""
