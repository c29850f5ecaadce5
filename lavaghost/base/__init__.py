"""What every room uses: errors, files, records, names."""
