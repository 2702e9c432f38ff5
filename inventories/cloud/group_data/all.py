"""A registry at AWS with RDS, ElastiCache and S3; the lines for Google are at the end.

A run asks for the passwords of the cloud's services, or takes them from the environment:
QUAYLAB_DATABASE_PASSWORD and QUAYLAB_REDIS_PASSWORD.
"""

lab_name = "cloud"
server_hostname = "registry.example.com"

# RDS for PostgreSQL, verified with Amazon's CAs. Download them first from
# https://truststore.pki.rds.amazonaws.com/global/global-bundle.pem.
database_host = "quay.abc123.eu-central-1.rds.amazonaws.com"
database_ca = "~/certificates/global-bundle.pem"
# Creates Quay's role and database there, with QUAYLAB_DATABASE_ADMIN_PASSWORD; see
# docs/external-services.md.
# database_admin = "postgres"

# ElastiCache with a password and TLS, not as a cluster: Quay uses one address.
redis_host = "master.quay.abc123.euc1.cache.amazonaws.com"
redis_ca = "/etc/ssl/certs/ca-certificates.crt"

# S3: the machine's IAM role may list, read, write and delete in the bucket, so no keys are needed.
# The hop limit of the machine's metadata must be 2, as Quay runs in a container.
storage = "s3"
storage_region = "eu-central-1"
storage_bucket = "example-quay-storage"
storage_iam_role = True

# At Google: use the addresses and CAs of Cloud SQL and Memorystore above. For the object store give
# the two parts of an HMAC key as QUAYLAB_STORAGE_ACCESS_KEY and QUAYLAB_STORAGE_SECRET_KEY, and
# replace the four lines of S3 with:
# storage = "gcs"
# storage_bucket = "example-quay-storage"
