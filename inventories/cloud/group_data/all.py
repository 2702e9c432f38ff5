"""A registry at AWS: RDS, ElastiCache, S3. docs/object-storage.md has Google's and others' lines.

The passwords of what is the cloud's are asked for, or come from the environment:
QUAYLAB_DATABASE_PASSWORD and QUAYLAB_REDIS_PASSWORD.
"""

lab_name = "cloud"
server_hostname = "registry.example.com"

# RDS for PostgreSQL, with pg_trgm in the database.
database_host = "quay.abc123.eu-central-1.rds.amazonaws.com"

# ElastiCache with a password, not as a cluster: Quay takes one address.
redis_host = "quay.abc123.0001.euc1.cache.amazonaws.com"

# S3: the machine's role may list, read, write and delete in the bucket, so there are no keys. The
# role's hop limit has to be 2, as Quay is in a container.
storage = "s3"
storage_region = "eu-central-1"
storage_bucket = "example-quay-storage"
storage_iam_role = True
