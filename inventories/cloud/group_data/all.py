"""A registry at AWS: RDS, ElastiCache, S3. docs/object-storage.md has Google's and others' lines.

The passwords of what is the cloud's are asked for, or come from the environment:
QUAYLAB_DATABASE_PASSWORD and QUAYLAB_REDIS_PASSWORD.
"""

lab_name = "cloud"
server_hostname = "registry.example.com"

# RDS for PostgreSQL; Amazon has its CAs at
# https://truststore.pki.rds.amazonaws.com/global/global-bundle.pem.
database_host = "quay.abc123.eu-central-1.rds.amazonaws.com"
database_ca = "~/certificates/global-bundle.pem"

# ElastiCache with a password and TLS, not as a cluster: Quay takes one address.
redis_host = "master.quay.abc123.euc1.cache.amazonaws.com"
redis_ca = "/etc/ssl/certs/ca-certificates.crt"

# S3: the machine's role may list, read, write and delete in the bucket, so there are no keys. The
# role's hop limit has to be 2, as Quay is in a container.
storage = "s3"
storage_region = "eu-central-1"
storage_bucket = "example-quay-storage"
storage_iam_role = True
