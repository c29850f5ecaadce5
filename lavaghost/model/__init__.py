"""A trained network as a value: what it answers, saved as manifest and safetensors, the inputs that it knows."""
