"""What a run is, and what its parts say to each other. Needs no torch and no Qt."""
