"""What flows through a job: records, batches in columns, the corpus, and how they lie in Parquet."""
