"""One run: `RunSpec`, the job that it means with its data, the result, pictures."""
