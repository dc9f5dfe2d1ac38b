"""PostgreSQL 15 and later: logical replication slots (pgoutput) to read, COPY and set-based SQL to write."""
