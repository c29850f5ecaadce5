"""Many runs and what they say together: accuracy and cosine against bits."""
