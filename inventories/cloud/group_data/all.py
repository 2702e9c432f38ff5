"""A registry at AWS: RDS, ElastiCache, S3; Google's lines stand at the end.

The passwords of what is the cloud's are asked for, or come from the environment:
QUAYLAB_DATABASE_PASSWORD and QUAYLAB_REDIS_PASSWORD.
"""

lab_name = "cloud"
server_hostname = "registry.example.com"

# RDS for PostgreSQL, verified by Amazon's CAs: fetch them first, from
# https://truststore.pki.rds.amazonaws.com/global/global-bundle.pem.
database_host = "quay.abc123.eu-central-1.rds.amazonaws.com"
database_ca = "~/certificates/global-bundle.pem"
# Makes Quay's role and database there, with QUAYLAB_DATABASE_ADMIN_PASSWORD: docs/elsewhere.md.
# database_admin = "postgres"

# ElastiCache with a password and TLS, not as a cluster: Quay takes one address.
redis_host = "master.quay.abc123.euc1.cache.amazonaws.com"
redis_ca = "/etc/ssl/certs/ca-certificates.crt"

# S3: the machine's role may list, read, write and delete in the bucket, so there are no keys. The
# role's hop limit has to be 2, as Quay is in a container.
storage = "s3"
storage_region = "eu-central-1"
storage_bucket = "example-quay-storage"
storage_iam_role = True

# At Google: Cloud SQL's and Memorystore's addresses and CAs above; for its store, in place of the
# four lines of S3's, the halves of an HMAC key as QUAYLAB_STORAGE_ACCESS_KEY and
# QUAYLAB_STORAGE_SECRET_KEY, and
# storage = "gcs"
# storage_bucket = "example-quay-storage"
