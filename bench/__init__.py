"""What the platform's parts cost, each beside a baseline taken in the same run on the same servers: `make bench`."""
