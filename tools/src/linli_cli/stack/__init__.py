"""The embedded stack: PostgreSQL, NATS, Traefik and the services as real processes under `.linli/`."""
