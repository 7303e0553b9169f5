"""What the file says of itself: metadata, generator tags, content credentials, JPEG structure."""
