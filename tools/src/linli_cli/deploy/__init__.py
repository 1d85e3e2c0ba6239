"""Running the platform in containers: what is made once, what is done at every start."""
