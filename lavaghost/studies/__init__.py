"""Many runs and what they say together: methods side by side, accuracy and cosine against bits."""
