"""Operations on the services of a registry: each service's own, and those that several share."""
