"""What the pages share: the frame around them, charts, and the names of their state."""
