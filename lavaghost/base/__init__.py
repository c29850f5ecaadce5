"""What every room uses: errors, files, names of options, strict schemas, records, registries."""
